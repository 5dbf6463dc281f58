"""What a model of the shipped tickets leaves to a person: strange texts all, plain tickets hardly any."""

# ruff: noqa: RUF001 -- the letters of other scripts are meant

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import pytest

from classifier.ml.deciding import Rules, decide
from classifier.ml.model import TextModel
from classifier.ml.pipeline import fit, refit
from classifier.ml.split import SPLITS, assign
from classifier.ml.text import groups
from classifier.ml.thresholds import Held, Thresholds, measure, solve

TICKETS = Path(__file__).resolve().parents[3] / "data" / "raw" / "support_tickets.csv"
TARGETS = (0.9, 0.95, 0.98)
FOREIGN = {
    "German": [
        "Meine Karte wurde zweimal belastet",
        "Die App stürzt ständig ab",
        "Ich kann mich nicht in mein Konto einloggen",
        "Wo ist mein Paket?",
        "Ich habe eine Rechnung über 59 Euro bekommen, obwohl ich im März gekündigt habe.",
    ],
    "Spanish": [
        "Me cobraron dos veces este mes",
        "La aplicación se cierra sola",
        "No puedo entrar en mi cuenta",
        "¿Dónde está mi paquete?",
        "He recibido una factura de 59 euros aunque cancelé mi suscripción en marzo.",
    ],
    "French": [
        "J'ai été débité deux fois",
        "L'application plante tout le temps",
        "Je n'arrive pas à me connecter à mon compte",
        "Où est mon colis ?",
        "J'ai reçu une facture de 59 euros alors que j'ai résilié mon abonnement en mars.",
    ],
    "Russian": [
        "С меня дважды списали деньги",
        "Приложение постоянно вылетает",
        "Не могу войти в свой аккаунт",
        "Где моя посылка?",
        "Я получил счёт на 59 евро, хотя отменил подписку в марте.",
    ],
    "Turkish": [
        "Kartımdan iki kez para çekildi",
        "Uygulama sürekli çöküyor",
        "Hesabıma giriş yapamıyorum",
        "Kargom nerede?",
        "Aboneliğimi martta iptal ettiğim halde 59 euroluk fatura geldi.",
    ],
    "Chinese": [
        "我被重复扣款了",
        "应用程序总是崩溃",
        "我无法登录我的账户",
        "我的包裹在哪里？",
        "我三月份已经取消订阅，但还是收到了59欧元的账单。",
    ],
}
UNSEEN = ["blorp fizzle grumtang wexel", "asdkjh qwelkj zxmcnb", "xqzv wvrt plmk oiuj", "zzz zzz zzz", "qwertyuiop"]
THREE_LETTERS = ["abc", "app", "pin", "fee", "tax", "hey", "why?", "ok.", "a b c", "sim 4711"]
PLAIN = {
    "billing": ["I was double charged", "You billed me after I cancelled", "How do I get my money back?"],
    "technical": ["App keeps crashing", "The website shows an error 500", "Error message when I upload a file"],
    "account": ["I can't log into my account", "I forgot my password", "How do I change my email address?"],
    "shipping": ["Where is my package?", "The package arrived damaged", "My parcel has not arrived yet"],
    "general": ["What are your opening hours?", "Do you have a store in Berlin?", "How can I reach a real person?"],
}


@dataclass(frozen=True)
class Made:
    """What a training makes: the model that serves, its answers to test, and its first fit's to validation."""

    model: TextModel
    validation: Held
    test: Held

    def solved(self, target: float = 0.95) -> Thresholds:
        return solve(self.validation, target=target)

    def reasons(self, texts: list[str]) -> list[str]:
        answers = self.model.predict(texts)
        rules = Rules.of(self.solved().as_dict(), self.model.categories)
        return decide(answers, texts, chosen=answers.best, rules=rules)


@pytest.fixture(scope="module")
def made() -> Made:
    with TICKETS.open(encoding="utf-8", newline="") as file:
        rows = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    members: dict[int, list[int]] = {}
    for index, group in enumerate(groups([text for text, _ in rows])):
        members.setdefault(group, []).append(index)
    counts = [Counter(rows[index][1] for index in group) for group in members.values()]
    split: dict[str, list[int]] = {name: [] for name in SPLITS}
    for group, name in zip(members.values(), assign(counts, {}, seed=0), strict=True):
        split[name] += group
    texts = {name: [rows[index][0] for index in split[name]] for name in SPLITS}
    truth = {name: [rows[index][1] for index in split[name]] for name in SPLITS}
    validation = texts["validation"], truth["validation"]
    first = fit(texts["train"], truth["train"], validation_texts=validation[0], validation_categories=validation[1])
    both = texts["train"] + texts["validation"], truth["train"] + truth["validation"]
    last = refit(*both, recipe="word_char", c=first.c, temperature=first.temperature)
    return Made(
        model=last.model,
        validation=Held.of(first.model.predict(validation[0]), texts=validation[0], truth=validation[1]),
        test=Held.of(last.model.predict(texts["test"]), texts=texts["test"], truth=truth["test"]),
    )


@pytest.mark.parametrize("target", TARGETS)
def test_automatic_answers_reach_the_target_on_the_test_tickets(made: Made, target: float) -> None:
    whole, trades = measure(made.test, Rules.of(made.solved(target).as_dict(), made.model.categories))

    for name, trade in {"all": whole, **trades}.items():
        assert trade.n_automatic == 0 or target <= upper_bound(trade.n_right, trade.n_automatic), (name, trade)


def upper_bound(right: int, n: int) -> float:
    """The upper end of Wilson's 95 % interval of a share (Wilson, JASA 1927)."""
    z = 1.96
    return (right / n + z * z / (2 * n) + z * sqrt(right * (n - right) / n**3 + z * z / (4 * n * n))) / (1 + z * z / n)


def test_most_answers_are_automatic_and_fewer_for_a_higher_target(made: Made) -> None:
    coverage = [made.solved(target).whole.coverage for target in TARGETS]

    assert coverage == sorted(coverage, reverse=True)
    assert coverage[0] > 0.8
    assert coverage[1] > 0.6
    assert all(found.threshold is not None for found in made.solved().per_category.values())


@pytest.mark.parametrize("language", FOREIGN)
def test_tickets_in_another_language_go_to_review(made: Made, language: str) -> None:
    assert set(made.reasons(FOREIGN[language])) == {"unknown_words"}


def test_texts_of_unseen_words_go_to_review(made: Made) -> None:
    assert set(made.reasons(UNSEEN)) == {"unknown_words"}


def test_texts_of_three_letters_go_to_review(made: Made) -> None:
    assert set(made.reasons(THREE_LETTERS)) == {"unknown_words"}


@pytest.mark.parametrize("slug", PLAIN)
def test_plain_tickets_are_answered_without_a_review(made: Made, slug: str) -> None:
    assert made.model.predict(PLAIN[slug]).labels == [slug] * 3
    assert made.reasons(PLAIN[slug]).count("") >= 2
