"""TextModel, what serves: tickets' texts in, probabilities of categories out. Fitting it is pipeline.py.

Imports no scikit-learn: a process that only answers is spared more than half of the start-up time.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.ml import artifact
from classifier.ml.artifact import MEND, DamagedModel
from classifier.ml.featurise import WORD_PATTERN, Part, Tfidf
from classifier.ml.text import normalise

BATCH = 1_000  # texts counted at once: their scratch is some ten megabytes, whatever the number of texts
FORMAT = 1  # raised when a file of today would be read wrongly tomorrow


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model says of some texts.

    probabilities: shape (n_texts, n_categories), each row sums to 1. best: index of the likeliest category, shape
    (n_texts,). unknown: share of each text's words the vocabulary lacks, shape (n_texts,), 1.0 without any word.
    """

    categories: tuple[str, ...]
    probabilities: NDArray[np.float64]
    best: NDArray[np.int64]
    unknown: NDArray[np.float64]

    @property
    def labels(self) -> list[str]:
        return [self.categories[index] for index in self.best.tolist()]

    @property
    def confidences(self) -> list[float]:
        confidences: list[float] = self.probabilities[np.arange(len(self.best)), self.best].tolist()
        return confidences


@dataclass(frozen=True)
class Term:
    """A term of a text and what it adds to a category's logit, against the mean over all categories.

    kind: "word" (one or two words) or "characters" (a piece of a word; its spaces are the word's ends).
    """

    term: str
    kind: str
    weight: float


@dataclass(frozen=True, kw_only=True, eq=False)
class TextModel:
    """A linear model over TF-IDF features, with its probabilities softened by a temperature.

    coefficients: shape (n_terms, n_categories), row by row in memory, so that the few rows a text needs are gathered.
    intercepts: shape (n_categories,). temperature: the logits are divided by it; above 0.
    """

    categories: tuple[str, ...]
    features: Tfidf
    coefficients: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    temperature: float
    featuriser: str = field(default="tfidf")
    format: int = field(default=FORMAT)

    def predict(self, texts: Sequence[str]) -> Answers:
        """The probabilities of the categories for each text; a text's do not depend on the others (within 1e-12)."""
        if len(texts) == 1:
            logits, unknown = self._single(texts[0])
        else:
            parts = [self._many(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
            logits = np.concatenate([np.empty((0, len(self.categories))), *(logits for logits, _ in parts)])
            unknown = np.concatenate([np.empty(0), *(shares for _, shares in parts)])
        probabilities = softened(logits, temperature=self.temperature)
        return Answers(self.categories, probabilities, probabilities.argmax(axis=1), unknown)

    def explain(self, text: str, category: str | None = None, *, limit: int = 10) -> tuple[Term, ...]:
        """The terms that speak loudest for (positive) or against the category, the likeliest one if none is named.

        A term's weight is its share of the category's logit, temperature included, less the mean of its shares over
        all categories. The intercepts belong to no term. Largest by absolute value first.
        Raises ValueError for a category the model does not know.
        """
        if category is None:
            category = self.predict([text]).labels[0]
        if category not in self.categories:
            raise ValueError(
                f"An explanation needs one of the model's categories ({', '.join(self.categories)}); {category!r} is "
                "none of them. Name one of these, or train with tickets of the new one."
            )
        row = self.features.features(text)
        shares = self.coefficients[row.columns] * row.weights[:, None] / self.temperature
        weights = shares[:, self.categories.index(category)] - shares.mean(axis=1)
        order = np.argsort(-np.abs(weights), kind="stable")[:limit]
        described = [(self.features.describe(int(row.columns[index])), float(weights[index])) for index in order]
        return tuple(Term(term=term, kind=kind, weight=weight) for (kind, term), weight in described)

    def to_bytes(self) -> bytes:
        """The model as the bytes of an .npz file; the same model gives the same bytes, so a digest names it."""
        parts = [
            {
                "analyzer": part.analyzer,
                "ngrams": [part.shortest, part.longest],
                "sublinear": part.sublinear,
                "stop_words": sorted(part.stop_words),
                "n_terms": len(part.terms),
            }
            for part in self.features.parts
        ]
        header = {
            "format": self.format,
            "featuriser": self.featuriser,
            "categories": list(self.categories),
            "temperature": self.temperature,
            "parts": parts,
        }
        # No term holds a line break: normalise() leaves none. Object arrays of strings would need pickle.
        terms = "\n".join(term for part in self.features.parts for term in part.terms)
        arrays = {
            "terms": np.frombuffer(terms.encode(), dtype=np.uint8),
            "idf": np.concatenate([part.idf for part in self.features.parts]),
            "coefficients": self.coefficients.astype(np.float32),
            "intercepts": self.intercepts,
        }
        return artifact.pack(header, arrays)

    def save(self, path: str | os.PathLike[str]) -> str:
        """Writes the model's bytes to the path, all or nothing, and gives their SHA-256 in hex."""
        return artifact.write(path, self.to_bytes())

    def _single(self, text: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The logits of one text, shape (1, n_categories), and its share of unknown words, shape (1,)."""
        row = self.features.features(text)
        logits = row.weights.dot(self.coefficients.take(row.columns, axis=0))
        logits += self.intercepts
        return logits[None, :], np.array([row.unknown])

    def _many(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The same of many texts, shapes (n_texts, n_categories) and (n_texts,): one sparse product for all."""
        table, unknown = self.features.table(texts)
        logits: NDArray[np.float64] = table @ self.coefficients + self.intercepts
        return logits, unknown


def softened(logits: NDArray[np.float64], *, temperature: float) -> NDArray[np.float64]:
    """The softmax of logits divided by a temperature, row by row, shape (n_texts, n_categories).

    Source: Guo et al., On calibration of modern neural networks, ICML 2017, section 4.2.

    >>> softened(np.array([[0.0, np.log(9.0)]]), temperature=2.0).round(2).tolist()
    [[0.25, 0.75]]
    """
    grown = logits / temperature
    grown -= grown.max(axis=1, keepdims=True)
    np.exp(grown, out=grown)
    grown /= grown.sum(axis=1, keepdims=True)
    return grown


def from_pipeline(pipeline: Any, *, temperature: float) -> TextModel:
    """The TextModel that answers as a fitted scikit-learn pipeline of pipeline.py does.

    pipeline: steps "features" (a TfidfVectorizer, or a FeatureUnion of a word and a char_wb one) and "classifier" (a
    LogisticRegression). Coefficients are kept to float32 precision, as they are in the file: probabilities differ by
    about 1e-8 from those of float64, and not at all if the pipeline was fitted in float32.
    Raises ValueError for a vectoriser whose settings this featuriser does not follow.
    """
    features, classifier = pipeline["features"], pipeline["classifier"]
    vectorisers = [fitted for _, fitted in getattr(features, "transformer_list", [("word", features)])]
    parts = [_part(vectoriser) for vectoriser in vectorisers]
    if [part.analyzer for part in parts] not in (["word"], ["word", "char_wb"]):
        raise ValueError(
            "The featuriser 'tfidf' has a word part and, after it, at most one char_wb part; the pipeline has "
            f"{[part.analyzer for part in parts]}. Write another featuriser for it."
        )
    rows = classifier.coef_.astype(np.float32).astype(np.float64)
    intercepts = np.asarray(classifier.intercept_, dtype=np.float64)
    if len(rows) == 1:  # two categories: scikit-learn keeps the second one's log-odds alone
        rows, intercepts = np.vstack([np.zeros_like(rows), rows]), np.array([0.0, intercepts[0]])
    return TextModel(
        categories=tuple(str(category) for category in classifier.classes_),
        features=Tfidf(*parts),
        coefficients=np.ascontiguousarray(rows.T),
        intercepts=intercepts,
        temperature=float(temperature),
    )


def from_bytes(data: bytes, *, sha256: str) -> TextModel:
    """The model whose bytes these are. sha256: their digest in hex, checked before anything is parsed.

    Raises DamagedModel for another digest, and for bytes that are not a whole and sound model.
    """
    header, arrays = artifact.unpack(data, sha256_hex=sha256)
    read = {"tfidf": _read_tfidf}.get(str(header.get("featuriser")))
    if header.get("format") != FORMAT or read is None:
        raise DamagedModel(
            f"This software reads models of format {FORMAT} with the featuriser 'tfidf'; this one has format "
            f"{header.get('format')!r} and {header.get('featuriser')!r}. Update the software, or train anew."
        )
    try:
        model = read(header, arrays)
        wrong = _faults(model)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedModel(f"The model file should hold the fields of its format; {error!r}. {MEND}") from error
    if wrong:
        raise DamagedModel(f"A model that serves must be whole; in this file {'; '.join(wrong)}. {MEND}")
    return model


def load(path: str | os.PathLike[str], *, sha256: str) -> TextModel:
    """The model saved at the path. sha256: the digest that save gave.

    Raises DamagedModel as from_bytes does, and OSError if the file cannot be read.
    """
    return from_bytes(Path(path).read_bytes(), sha256=sha256)


def _part(vectoriser: Any) -> Part:
    """A fitted TfidfVectorizer as a Part. Raises ValueError if it does anything that Tfidf does not do."""
    kept: dict[str, Any] = {"preprocessor": normalise, "tokenizer": None, "token_pattern": WORD_PATTERN}
    kept |= {"norm": "l2", "use_idf": True, "binary": False}
    shortest, longest = vectoriser.ngram_range
    strange = [name for name, wanted in kept.items() if getattr(vectoriser, name) != wanted]
    if vectoriser.analyzer == "word" and (shortest, longest) not in ((1, 1), (1, 2)):
        strange.append("ngram_range")
    if strange:
        raise ValueError(
            f"A vectoriser must keep to what the featuriser 'tfidf' does; {', '.join(strange)} differ. "
            "Change the recipe, or write another featuriser for it."
        )
    return Part(
        analyzer=vectoriser.analyzer,
        shortest=shortest,
        longest=longest,
        sublinear=bool(vectoriser.sublinear_tf),
        stop_words=frozenset(vectoriser.get_stop_words() or ()),
        terms=tuple(vectoriser.get_feature_names_out()),
        idf=np.asarray(vectoriser.idf_, dtype=np.float64),
    )


def _read_tfidf(header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> TextModel:
    terms = arrays["terms"].tobytes().decode().split("\n")
    parts, start = [], 0
    for told in header["parts"]:
        end = start + told["n_terms"]
        parts.append(
            Part(
                analyzer=told["analyzer"],
                shortest=told["ngrams"][0],
                longest=told["ngrams"][1],
                sublinear=told["sublinear"],
                stop_words=frozenset(told["stop_words"]),
                terms=tuple(terms[start:end]),
                idf=arrays["idf"][start:end],
            )
        )
        start = end
    if not start == len(terms) == len(arrays["idf"]):
        raise ValueError(f"the parts have {start} terms, the vocabulary {len(terms)}, weights {len(arrays['idf'])}")
    return TextModel(
        categories=tuple(header["categories"]),
        features=Tfidf(*parts),
        coefficients=arrays["coefficients"].astype(np.float64),
        intercepts=arrays["intercepts"],
        temperature=header["temperature"],
    )


def _faults(model: TextModel) -> list[str]:
    """What is wrong with a model's content, in words; nothing for a sound one."""
    n_terms, n_categories = model.features.n_terms, len(model.categories)
    parts = model.features.parts
    numbers = (model.features.idf, model.coefficients, model.intercepts, np.float64(model.temperature))
    checks = {
        "there are fewer than two categories": n_categories >= 2,
        "a category is not a name": all(isinstance(category, str) and category for category in model.categories),
        "a category occurs twice": len(set(model.categories)) == n_categories,
        "the parts are not word and char_wb": [part.analyzer for part in parts] == ["word", "char_wb"][: len(parts)],
        "a part's lengths of n-grams are no lengths": all(0 < part.shortest <= part.longest for part in parts),
        "a term occurs twice": model.features.has_distinct_terms,
        "the terms and their weights differ in number": model.features.idf.shape == (n_terms,)
        and sum(len(part.terms) for part in parts) == n_terms,
        "the coefficients have another shape": model.coefficients.shape == (n_terms, n_categories),
        "the intercepts have another shape": model.intercepts.shape == (n_categories,),
        "a weight is not above 0": bool((model.features.idf > 0).all()),
        "a number is not finite": all(np.isfinite(array).all() for array in numbers),
        "the temperature is not above 0": model.temperature > 0,
    }
    return [fault for fault, passed in checks.items() if not passed]
