"""Whether recent tickets are still like those a model was validated on: signals, each with a threshold for its size.

The two sides are profile.py; telling their texts apart is telling.py; what to say and do about it is mlops/severity.py.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from classifier.ml.profile import Batch, Indices, Numbers, Profile

SIGNALS = ("word_count_psi", "word_count_ks", "unknown_words", "confidence", "category_shares", "text")
FAMILY_WISE = 0.02  # of unchanged windows may any signal at all be called drifted
EACH = FAMILY_WISE / len(SIGNALS)  # Bonferroni: signals that move together only make it rarer
DRAWS = 3_000  # of chance alone: ten of them lie beyond a threshold
AT_ONCE = 250  # draws: their scratch is then some ten megabytes
BINS = 8  # of word counts, with equally many validation tickets each
LEAST_STRATUM = 5  # tickets of a category on either side, below which it is compared together with other such
# Reference tickets of a stratum that chance is drawn from; of fewer, which vary too little, together with the window's.
# Without that, 29, 14 and 11 % of unchanged windows of 200 were called drifted against 10, 20 and 40 tickets of five
# categories. With it everywhere, foreign tickets, a fifth of 200, are seen less often: against clinc150 83 % for 94 %.
ENOUGH_TO_DRAW = 20
SEED = 0  # of its own: a window compared twice gives the same thresholds

# What a signal must at least amount to, whatever chance says: with 1,000 predictions and as many validation tickets a
# difference that nobody would act on is beyond chance.
LEAST_EFFECT = {
    "word_count_psi": 0.1,  # the customary border to "some change"
    "word_count_ks": 0.1,  # a tenth of the tickets longer, or shorter, than they would have been
    "unknown_words": 0.01,  # one word in a hundred
    "confidence": 0.01,  # of a hundred answers one that was right and is not, as long as the confidence is calibrated
    "category_shares": 0.1,
    "text": 0.1,  # of a correlation: a hundredth of the variance
}


@dataclass(frozen=True)
class Signal:
    """One way to look at the difference: its value, and the threshold from which on it is no chance.

    threshold: None under the least number of predictions, where nothing can be said.
    """

    name: str
    value: float
    threshold: float | None

    @property
    def drifted(self) -> bool:
        return self.threshold is not None and self.value > self.threshold


@dataclass(frozen=True, eq=False)
class Strata:
    """Both sides by answered category, rare ones pooled: a change of shares alone must not look like another text.

    reference, window: the stratum of each ticket; -1 for a reference ticket that no window ticket is held against.
    weights: of each reference ticket, shape (n_reference,); they sum to 1 and give the strata the window's shares.
    """

    reference: Indices
    window: Indices
    weights: Numbers


def psi(reference: Numbers, current: Numbers) -> Numbers:
    """Population stability indices of histograms, in nats (0: same shape), along the last axis.

    reference, current: counts over the same bins, shape (..., n_bins); half a count is added to each bin, so that empty
    ones are finite. Source: Yurdakul & Naranjo, Statistical properties of the population stability index, 2020.

    >>> round(float(psi(np.array([50.0, 50.0]), np.array([80.0, 20.0]))), 4)
    0.4063
    """
    p, q = reference + 0.5, current + 0.5
    p, q = p / p.sum(axis=-1, keepdims=True), q / q.sum(axis=-1, keepdims=True)
    index: Numbers = ((q - p) * np.log(q / p)).sum(axis=-1)
    return index


def stratify(profile: Profile, window: Batch) -> Strata:
    """The strata of both sides.

    A category with fewer than LEAST_STRATUM tickets on either side goes to a common stratum of such categories; if that
    has too few of the reference, it is held against the whole reference.
    """
    n = len(profile.categories)
    known = np.bincount(profile.batch.category, minlength=n)
    asked = np.bincount(window.category[window.category >= 0], minlength=n)
    own = (known >= LEAST_STRATUM) & (asked >= LEAST_STRATUM)
    number = np.append(np.where(own, np.arange(n), n), n)  # the last one is that of index -1
    reference, recent = number[profile.batch.category], number[window.category]
    share = np.bincount(recent, minlength=n + 1) / max(1, len(window))
    held = np.bincount(reference, minlength=n + 1)
    pooled = reference == n
    if share[n] and held[n] < LEAST_STRATUM:
        weights = np.where(pooled, 0.0, share[reference] / held[reference]) + share[n] / len(reference)
    else:
        weights = share[reference] / held[reference]
    return Strata(reference=np.where(weights > 0, reference, -1), window=recent, weights=weights)


def compare(profile: Profile, window: Batch, strata: Strata, *, is_enough: bool) -> tuple[Signal, ...]:
    """All signals but the text, in the order of SIGNALS; thresholds only if is_enough. The window must not be empty.

    Every difference but that of the shares is one within the answered categories (see Strata). A threshold is the value
    that chance alone passes in EACH of all cases, found by drawing both sides anew, at their sizes (see by_chance); or
    the least effect, if that is larger.
    """
    tests = _Tests.of(profile, window, strata)
    found = tests.observed()
    thresholds: dict[str, float | None] = dict.fromkeys(found)
    if is_enough:
        drawn: dict[str, list[Numbers]] = {}
        for values in tests.by_chance():
            for name, batch in values.items():
                drawn.setdefault(name, []).append(batch)
        thresholds = {name: limit(name, np.concatenate(parts)) for name, parts in drawn.items()}
    return tuple(Signal(name=name, value=value, threshold=thresholds[name]) for name, value in found.items())


def limit(name: str, by_chance: Numbers) -> float:
    """The threshold of a signal: what chance passes in EACH of all cases, at least the least effect."""
    return max(float(np.quantile(by_chance, 1 - EACH)), LEAST_EFFECT[name])


# --- Below: the statistics, of what is and of what chance draws -------------------------------------------------------
@dataclass(frozen=True, kw_only=True, eq=False)
class _Tests:
    profile: Profile
    window: Batch
    strata: Strata
    place: Callable[[Indices], Indices]  # of a word count among the distinct ones
    bin_of: Indices  # the bin of each of these places
    n_places: int

    @classmethod
    def of(cls, profile: Profile, window: Batch, strata: Strata) -> "_Tests":
        distinct = np.unique(np.concatenate([profile.batch.n_words, window.n_words]))
        edges = np.unique(np.quantile(profile.batch.n_words, np.arange(1, BINS) / BINS))
        return cls(
            profile=profile,
            window=window,
            strata=strata,
            place=lambda counts: np.searchsorted(distinct, counts),
            bin_of=np.searchsorted(edges, distinct, side="left"),
            n_places=len(distinct),
        )

    def observed(self) -> dict[str, float]:
        """The signals' values, by name."""
        rows = np.arange(len(self.profile.batch))[None, :]
        asked = self._within(self.profile.batch, rows, self.window, np.arange(len(self.window))[None, :])
        counts = self._shares(self.window.category[None, :])
        known = self._shares(self.profile.batch.category[None, :])
        values = {**asked, "category_shares": psi(known, counts)}
        return {name: float(values[name][0]) for name in SIGNALS if name in values}

    def by_chance(self) -> Iterator[dict[str, Numbers]]:
        """The same of draws in which nothing has changed, AT_ONCE at a time.

        Both sides are drawn from the reference, stratum by stratum, and from both together where that is small; the
        shares from both together always, so that a category too rare for the reference is not impossible.
        """
        chance = np.random.RandomState(SEED)
        both = _joined(self.profile.batch, self.window)
        n_reference, n_window = len(self.profile.batch), len(self.window)
        for _ in range(DRAWS // AT_ONCE):
            reference, window = self._draw(chance)
            known = both.category[chance.randint(len(both), size=(AT_ONCE, n_reference))]
            asked = both.category[chance.randint(len(both), size=(AT_ONCE, n_window))]
            yield {
                **self._within(both, reference, both, window),
                "category_shares": psi(self._shares(known), self._shares(asked)),
            }

    def _draw(self, chance: np.random.RandomState) -> tuple[Indices, Indices]:
        """Tickets of both sides for each side, stratum by stratum: (AT_ONCE, n_reference), (AT_ONCE, n_window)."""
        strata = np.concatenate([self.strata.reference, self.strata.window])
        n_reference = len(self.strata.reference)
        drawn = np.zeros((AT_ONCE, len(strata)), dtype=np.int64)
        for stratum in np.unique(strata).tolist():
            own = np.flatnonzero(strata == stratum)
            held, asked = own[own < n_reference], own[own >= n_reference]
            # Too few to be held against (see stratify): what they are held against is the whole reference.
            source = held if len(held) >= LEAST_STRATUM else np.arange(n_reference)
            if len(source) < ENOUGH_TO_DRAW:
                source = np.concatenate([source, asked])
            drawn[:, own] = source[chance.randint(len(source), size=(AT_ONCE, len(own)))]
        return drawn[:, :n_reference], drawn[:, n_reference:]

    def _within(self, known: Batch, reference: Indices, recent: Batch, rows: Indices) -> dict[str, Numbers]:
        """The signals within categories, for draws of both sides. reference, rows: indices, a draw in each row."""
        n = rows.shape[1]
        weights = self.strata.weights
        before = self._histogram(self.place(known.n_words)[reference], np.broadcast_to(weights, reference.shape))
        after = self._histogram(self.place(recent.n_words)[rows], np.full(rows.shape, 1 / n))
        bins = np.eye(int(self.bin_of.max()) + 1)[self.bin_of]
        size = 1 / float((weights**2).sum())  # tickets that the weighted reference is worth
        return {
            "word_count_psi": psi(before @ bins * size, after @ bins * n),
            "word_count_ks": np.abs((before - after).cumsum(axis=1)).max(axis=1),
            "unknown_words": recent.unknown[rows].mean(axis=1) - known.unknown[reference] @ weights,
            "confidence": known.confidence[reference] @ weights - recent.confidence[rows].mean(axis=1),
        }

    def _histogram(self, places: Indices, weights: Numbers) -> Numbers:
        rows = len(places)
        flat = (places + np.arange(rows)[:, None] * self.n_places).ravel()
        counts = np.bincount(flat, weights=weights.ravel(), minlength=rows * self.n_places)
        shaped: Numbers = counts.astype(np.float64).reshape(rows, self.n_places)
        return shaped

    def _shares(self, categories: Indices) -> Numbers:
        """Tickets by category, those of none that the profile has as the last one; a batch in each row."""
        n, rows = len(self.profile.categories) + 1, len(categories)
        flat = (categories % n + np.arange(rows)[:, None] * n).ravel()
        return np.bincount(flat, minlength=rows * n).reshape(rows, n).astype(np.float64)


def _joined(one: Batch, other: Batch) -> Batch:
    return Batch(**{name: np.concatenate([column, getattr(other, name)]) for name, column in vars(one).items()})
