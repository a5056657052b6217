"""Salted hashes in the place of what may tell who a patient is."""

import hashlib
import hmac
import os
import re
from collections import Counter
from collections.abc import Collection, Sequence
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

    def key(self, value: str) -> str:
        """By what a private value is known again, in whatever case it is written."""
        return self.of(value.casefold())

    def scrubbed(self, text: str, private: Sequence[str]) -> str:
        """A text with pseudonyms for private values, where they stand as words of their own."""
        if self.salt is None or not private:
            return text
        longest_first = sorted(set(private), key=lambda value: (-len(value), value))
        words = "|".join(map(re.escape, longest_first))
        found = re.compile(rf"(?<![^\W_])(?:{words})(?![^\W_])", re.IGNORECASE)
        return found.sub(lambda match: self.of(match[0]), text)

    def guarded(self, value: Any, private: Collection[str]) -> Any:
        """A value of a table: as it is, or with pseudonyms for words whose keys are `private`."""
        if not private or value is None:
            return value
        words = re.split(r"([\\/\s,;|]+)", str(value))
        found = [self._guarded(word, private) for word in (str(value), *words)]
        if found[0] != str(value):
            return found[0]
        return value if found[1:] == words else "".join(found[1:])

    def guessed(self, text: str, private: Collection[str]) -> str:
        """A text about a film whose own header cannot be read: with pseudonyms for UIDs, and for
        words that headers of others have.
        """
        if self.salt is None:
            return text
        text = UIDS.sub(lambda match: self.of(match[0]), str(self.guarded(text, private)))
        parts = (self._guarded(part, private) for part in re.split(r"([\W_]+)", text))
        return "".join(parts)

    def _guarded(self, word: str, private: Collection[str]) -> str:
        stem, dot, suffix = word.rpartition(".")
        if word and self.key(word) in private:
            return self.of(word)
        return f"{self.of(stem)}{dot}{suffix}" if stem and self.key(stem) in private else word


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
