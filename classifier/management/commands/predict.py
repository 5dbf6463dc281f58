"""`manage.py predict`: answers on the command line."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from classifier import inference
from classifier.management.base import BadUsage, Refused, TicketclfCommand
from classifier.ml.artifact import DamagedModel

BATCH = 1000  # texts answered at once


class Command(TicketclfCommand):
    help = (
        "Answers tickets with the version in production: category, confidence, decision (auto, or review and why) and "
        "text, a line each. The texts are the arguments, or the lines of --file, or else of standard input. Nothing is "
        "stored: it is for trying out and for scripts; POST /api/predict is what keeps tickets and predictions."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("texts", nargs="*", metavar="TEXT", help="A ticket's text, in quotation marks.")
        parser.add_argument("--file", type=Path, metavar="FILE", help="A UTF-8 file with a ticket's text on each line.")

    def handle(self, *, texts: list[str], file: Path | None, **_options: Any) -> None:
        if texts and file is not None:
            raise BadUsage("Give either texts or --file; both are there. Leave one of them out.")
        found = _cleaned(texts) if texts else _cleaned(_lines(file))
        if not found:
            raise BadUsage(
                "There must be at least one text; there is none. Give it in quotation marks, or lines of text."
            )
        results: list[dict[str, Any]] = []
        for start in range(0, len(found), BATCH):
            try:
                answered = inference.answer(found[start : start + BATCH])
            except (inference.NoModelInProduction, inference.NoActiveCategory, DamagedModel) as error:
                raise Refused(str(error)) from error
            results += _results(found[start : start + BATCH], answered)
        width = max(len(result["predicted_label"]) for result in results)
        wide = max(len(_decision(result)) for result in results)
        for result in results:
            answer = f"{result['predicted_label']:<{width}}  {result['confidence']:.3f}  {_decision(result):<{wide}}"
            self.say(f"{answer}  {result['text']}")
        self.print_json({"model_version": results[-1]["model_version"], "results": results})


def _results(texts: list[str], answered: inference.Answered) -> list[dict[str, Any]]:
    """One object for each text, with the keys that the API uses; `reason` for those to review only."""
    answers = zip(texts, answered.labels, answered.confidences, answered.decisions, answered.reasons, strict=True)
    number = answered.serving.number
    return [
        {
            "text": text,
            "predicted_label": label,
            "confidence": confidence,
            "model_version": number,
            "decision": decision,
            **({"reason": reason} if reason else {}),
        }
        for text, label, confidence, decision, reason in answers
    ]


def _decision(result: dict[str, Any]) -> str:
    return f"{result['decision']}: {result['reason']}" if "reason" in result else str(result["decision"])


def _lines(file: Path | None) -> Iterable[str]:
    try:
        if file is not None:
            return file.read_text("utf-8").splitlines()
        if sys.stdin.isatty():
            return []  # nobody should sit before a command that waits without a word
        return sys.stdin.read().splitlines()
    except OSError as error:
        raise BadUsage(f"--file must be a file that can be read; {file}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise BadUsage(
            f"The lines must be UTF-8; byte {error.start} of them is not. Convert them with iconv."
        ) from error


def _cleaned(texts: Iterable[str]) -> list[str]:
    """The texts that are not blank; bytes that were no UTF-8 on the command line become a mark that can be printed."""
    return [text.encode("utf-8", "replace").decode() for text in texts if text.strip()]
