"""Salted hashes in the place of what may tell who a patient is."""

import hashlib
import hmac
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from rayograph.config import PackOptions
from rayograph.errors import UserError
from rayograph.pack.sources import Source

DICOM = (".dcm", ".dicom")
SALT = "RAYOGRAPH_SALT"
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

    def scrubbed(self, text: str, private: Sequence[str]) -> str:
        """A text with pseudonyms for private values, where they stand as words of their own."""
        if self.salt is None or not private:
            return text
        longest_first = sorted(set(private), key=lambda value: (-len(value), value))
        words = "|".join(map(re.escape, longest_first))
        found = re.compile(rf"(?<![^\W_])(?:{words})(?![^\W_])", re.IGNORECASE)
        return found.sub(lambda match: self.of(match[0]), text)

    def guarded(self, value: Any, private: Collection[str]) -> Any:
        """A value of a table: as it is, or with pseudonyms for words whose own are `private`."""
        if not private or value is None:
            return value
        words = re.split(r"([\\/\s,;|]+)", str(value))
        found = [self._guarded(word, private) for word in (str(value), *words)]
        if found[0] != str(value):
            return found[0]
        return value if found[1:] == words else "".join(found[1:])

    def _guarded(self, word: str, private: Collection[str]) -> str:
        stem, dot, suffix = word.rpartition(".")
        whole, part = self.of(word), self.of(stem)
        if word and whole in private:
            return whole
        return f"{part}{dot}{suffix}" if stem and part in private else word


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


def missing(name: str) -> UserError:
    """What to say where a DICOM film, `name`, is packed without a salt."""
    return UserError(
        f"{name}: is DICOM, whose identifiers are stored as salted hashes: set {SALT} to a secret "
        "of your own and keep it, such as the output of `openssl rand -hex 16`; of published films "
        "pack.identifiers=keep needs none"
    )
