"""Salted hashes in the place of what may tell who a patient is."""

import hashlib
import hmac
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rayograph.config import PackOptions
from rayograph.data.manifest import Finding
from rayograph.errors import UserError, one_line
from rayograph.pack.sources import Source

DICOM = (".dcm", ".dicom")
SALT = "RAYOGRAPH_SALT"
KINDS = ("excluded", "hidden", "no suffix")  # of files that are no films, beside their suffixes
UIDS = re.compile(r"\d+(?:\.\d+){3,}")
SHORTEST = 8  # characters of a salt: a shorter one is soon guessed
SHORTEST_NUMBER = 4  # digits of a number in a table that may tell who somebody is
MOST_WORDS = 16  # that an identifier has: a UID has some ten numbers
DATE = re.compile(
    r"(?<!\d)(?:(?P<year>\d{4})([-./_])(?P<month>\d{1,2})\2(?P<day>\d{1,2})"
    r"|(?P<first>\d{1,2})([-./_])(?P<second>\d{1,2})\6(?P<last>\d{4}))(?!\d)"
)


@dataclass(frozen=True)
class Pseudonyms:
    """What stands for identifiers: their hashes, or with `salt` None they themselves.

    With one salt a patient has one pseudonym, in every dataset. Nobody gets from it to the patient
    who does not know the salt, which is therefore never written.
    """

    salt: str | None = field(repr=False)

    def of(self, value: str) -> str:
        """The pseudonym of a value, 16 hexadecimal digits (64 bits of HMAC-SHA-256)."""
        if self.salt is None:
            return value
        return hmac.new(self.salt.encode(), value.strip().encode(), hashlib.sha256).hexdigest()[:16]

    @property
    def check(self) -> str:
        """What tells one salt from another, and nobody the salt."""
        return self.of("rayograph")

    def scrubbed(self, text: str, private: Sequence[str]) -> str:
        """A text with pseudonyms for private values, where they stand as words of their own."""
        if self.salt is None or not private:
            return text
        text = self._undated(text, set(private).__contains__)
        longest_first = sorted(set(private), key=lambda value: (-len(value), value))
        words = "|".join(map(re.escape, longest_first))
        found = re.compile(rf"(?<![^\W_])(?:{words})(?![^\W_])", re.IGNORECASE)
        return found.sub(lambda match: self.of(match[0]), text)

    def marks(self, private: Iterable[str]) -> list[str]:
        """By what `guarded` knows private values, whatever their case and their leading zeros.

        A letter, or a number of fewer than four digits, is none: a table has them as flags and
        ages, and headers number studies from 1.
        """
        found = dict[str, None]()
        for value in private:
            word = value.strip().casefold()
            for form in (word, word.lstrip("0")) if word.isdigit() else (word,):
                if len(form) >= (SHORTEST_NUMBER if word.isdigit() else 2):
                    found[self.of(form)] = None
        return list(found)

    def guarded(self, value: Any, marks: Collection[str]) -> Any:
        """A value of a table, with pseudonyms for what is private by its `marks`.

        That is a whole value, a date in any usual form, or words in a row without a blank.
        """
        if self.salt is None or not marks or value is None:
            return value

        def is_private(word: str) -> bool:
            return self.of(word.casefold()) in marks

        text = str(value)
        if is_private(text):
            return self.of(text)
        words = re.split(r"([\\/\s,;|^=]+)", self._undated(text, is_private))
        found = "".join(self._worded(word, is_private) for word in words)
        return value if found == text else found

    def _worded(self, text: str, is_private: Callable[[str], bool]) -> str:
        """A text without blanks, with pseudonyms for the longest private runs of its words."""
        tokens = re.split(r"([\W_]+)", text)  # words at even places, what parts them at odd ones
        out, i = [], 0
        while i < len(tokens):
            ends = range(min(len(tokens), i + 2 * MOST_WORDS - 1), i, -2) if tokens[i] else ()
            runs = ("".join(tokens[i:end]) for end in ends)
            run = next((each for each in runs if is_private(each)), None)
            out.append(tokens[i] if run is None else self.of(run))
            i += 1 if run is None else len(re.split(r"([\W_]+)", run))
            out += tokens[i : i + 1]  # what parts it from the next word
            i += 1
        return "".join(out)

    def _undated(self, text: str, is_private: Callable[[str], bool]) -> str:
        """A text with pseudonyms for private dates: theirs as DICOM writes them, YYYYMMDD."""

        def own(match: re.Match[str]) -> str:
            year, one, two = match.group("year", "month", "day")
            if year is None:
                year, one, two = match.group("last", "first", "second")
            for month, day in ((one, two), (two, one)):
                word = f"{year}{int(month):02}{int(day):02}"
                if is_private(word):
                    return self.of(word)
            return match[0]

        return DATE.sub(own, text)

    def guessed(self, text: str, marks: Collection[str]) -> str:
        """A text about a film whose own header cannot be read: with pseudonyms for UIDs, and for
        words that headers of others have.
        """
        if self.salt is None:
            return text
        return str(self.guarded(UIDS.sub(lambda match: self.of(match[0]), text), marks))


def chosen(source: Source, options: PackOptions) -> Pseudonyms | None:
    """What identifiers become; None where no salt is set and nothing looks as if it had any.

    `UserError` where DICOM is to be packed without a salt, or the salt is too short.
    """
    if options.identifiers == "keep":
        return Pseudonyms(None)
    salt = os.environ.get(SALT, "")
    if not salt:
        dicom = (item.uri for item in source.items if item.uri.lower().endswith(DICOM))
        if (first := next(dicom, None)) is not None:
            raise missing(first)
        return None
    if len(salt) < SHORTEST:
        raise UserError(f"{SALT}: is too short to keep identifiers safe; use {SHORTEST} characters")
    return Pseudonyms(salt)


def nameless(source: Source, pseudonyms: Pseudonyms) -> Source:
    """A source whose findings name no film, row or file: none of these was read, so nobody knows
    which words of their names tell who a patient is.

    Pseudonyms of whole names stand for them.
    """
    if pseudonyms.salt is None:
        return source

    def told(finding: Finding) -> Finding:
        message = finding.message
        for name in sorted(finding.films, key=len, reverse=True):
            for text in (name, one_line(name)):
                message = message.replace(text, pseudonyms.of(name))
        films = tuple(pseudonyms.of(name) for name in finding.films)
        return finding.model_copy(update={"message": message, "films": films})

    ignored = Counter[str]()
    for kind, count in source.ignored.items():
        ignored[kind if kind.startswith(".") or kind in KINDS else "no suffix"] += count
    findings = tuple(told(finding) for finding in source.findings)
    return replace(source, findings=findings, ignored=dict(ignored))


def missing(name: str) -> UserError:
    """What to say where a DICOM film, `name`, is packed without a salt."""
    return UserError(
        f"{name}: is DICOM, whose identifiers are stored as salted hashes: set {SALT} to a secret "
        "of your own and keep it, such as the output of `openssl rand -hex 16`; of published films "
        "pack.identifiers=keep needs none"
    )
