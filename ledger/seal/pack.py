"""An evidence pack: a folder that an inspector verifies without database, network or our server.

    pack.json        what it is: format, kind (`log` or `student`), origin, size, since
    checkpoint       the newest checkpoint, with the cosignatures of witnesses
    keys             the log's verifier keys, one a line: compare them with those that you were given elsewhere
    tile/…           all hashes of the log, and the entry bundles from `since` on      (kind `log`)
    entries/N        the entry at position N                                          (kind `student`)
    receipts/N.tlog-proof
    README.md        for the inspector, in Russian and English
    SHA256SUMS       of everything that no hash of the log covers

Nothing may be missing and nothing may be added. Whatever was altered is refused, with the first position concerned.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal
from uuid import UUID

import msgspec

from ledger.errors import InvalidInput, NotProven
from ledger.seal.check import WrongAt, check_continues, check_entries, check_tiles
from ledger.seal.checkpoint import Checkpoint, open_signed
from ledger.seal.entry import decode_entry
from ledger.seal.note import VerifierKey, distinct, verified_by
from ledger.seal.proof import parse_receipt, verify_receipt
from ledger.seal.tiles import ENTRIES, WIDTH, Tile, read_bundle, tile_at, tiles_of

FORMAT = "ledger-evidence/1"
SUMS = "SHA256SUMS"

_SUM = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9_./-]+)")
_TAKE = "The pack was altered or is not complete; take it from where it came from again."


class PackInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of `pack.json`."""

    format: str
    kind: Literal["log", "student"]
    origin: str
    size: int
    since: int


class PackReport(msgspec.Struct):
    """What was verified in a pack, and what was not."""

    kind: str
    origin: str
    size: int
    entries: int
    first_position: int | None
    last_position: int | None
    receipts: int
    witnesses: list[str]
    continues: int | None
    not_checked: list[str]
    student: UUID | None = None
    """Whose events a pack of kind `student` holds, as its entries say."""


def bundles_of(size: int, since: int) -> list[Tile]:
    """Returns the entry bundles of a log pack: from the one that holds position `since` on."""
    first = max(since - 1, 0) // WIDTH
    return [tile_at(ENTRIES, number, size) for number in range(first, (size + WIDTH - 1) // WIDTH)]


def write_sums(folder: Path) -> None:
    """Writes SHA256SUMS over all files that are no tiles, in the form that `sha256sum -c` reads."""
    names = sorted(name for name in _files(folder) if not name.startswith("tile/") and name != SUMS)
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / SUMS).write_text("".join(lines), encoding="ascii")


def _files(folder: Path) -> list[str]:
    found = []
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise NotProven(f"{path.name} in the pack is no plain file.", help=_TAKE)
        if path.is_file():
            found.append(path.relative_to(folder).as_posix())
    return found


def verify_pack(
    folder: Path,
    *,
    trusted: Sequence[VerifierKey] = (),
    old: bytes | None = None,
    witnesses: Sequence[VerifierKey] = (),
    quorum: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> PackReport:
    """Verifies a pack: sums, signature, older checkpoint, entries, tiles, receipts; each stands on what came before.

    Args:
        trusted: the log's verifier keys as they were handed out elsewhere (several where keys have changed); without
            any the pack's own are taken, and said so.
        old: an older checkpoint of the same log that the inspector kept. Signed by another key than the pack's
            checkpoint, it proves something only if both keys are trusted: the pack may name any key as the older one.
        witnesses: keys of witnesses, of which `quorum` must vouch for the checkpoint.
        progress: called with (entries done, entries in all).

    Raises:
        WrongAt: with the first position concerned. NotProven: something else is not as it should be.
    """
    names = _check_sums(folder)
    info = read_info(folder)
    keys = distinct(VerifierKey.parse(line) for line in read_lines(folder, "keys"))
    if trusted and not set(trusted) & set(keys):
        raise NotProven("The pack's log has another verifier key than the one given.", help="Ask which one is right.")
    signed = open_signed((folder / "checkpoint").read_bytes(), distinct(trusted or keys), witnesses, quorum=quorum)
    signers = [key for key in trusted or keys if key in verified_by(signed.note, [key])]
    checkpoint = signed.checkpoint
    if (info.origin, info.size) != (checkpoint.origin, checkpoint.size):
        raise NotProven("The pack says it is of another checkpoint than the one in it.", help=_TAKE)
    if not 1 <= info.since <= max(info.size, 1):
        raise NotProven("The pack's `since` is no position that its checkpoint covers.", help=_TAKE)
    load = lru_cache(maxsize=64)(lambda tile: read_tile(folder, tile))
    continues = student = None
    if old is not None:
        continues = _check_old(load, info, old, trusted or signers, checkpoint)
    if info.kind == "log":
        entries = _check_log(folder, load, names, info, checkpoint, progress)
    else:
        entries, student = _check_student(folder, names)
    receipts = _check_receipts(folder, names, load, info, signers[0], checkpoint, progress)
    if info.kind == "student" and receipts != entries:
        raise NotProven("An entry of the pack has no receipt.", help=_TAKE)
    positions = [int(name.partition("/")[2]) for name in names if name.startswith("entries/")]
    if info.kind == "log" and entries:
        positions = [info.size - entries + 1, info.size]
    return PackReport(
        info.kind,
        info.origin,
        info.size,
        entries,
        min(positions, default=None),
        max(positions, default=None),
        receipts,
        [witness.name for witness in signed.witnesses],
        continues,
        _not_checked(trusted, old, witnesses, info),
        student,
    )


def _not_checked(
    trusted: Sequence[VerifierKey], old: bytes | None, witnesses: Sequence[VerifierKey], info: PackInfo
) -> list[str]:
    told = []
    if not trusted:
        told.append("The verifier key is the pack's own: compare it with one that you were given elsewhere (--key).")
    if old is None:
        told.append("No older checkpoint was given: whether an earlier history was exchanged whole was not checked.")
    if not witnesses:
        told.append("No witness's key was given: their cosignatures were not checked.")
    if info.kind == "log" and info.since > 1:
        told.append(f"Entries before position {bundles_of(info.size, info.since)[0].number * WIDTH + 1} are not in it.")
    if info.kind == "student":
        told.append(
            f"Whether these are all events of the student from position {info.since} on: only a pack of the whole log"
            " tells."
        )
    told.append("What the records say needs the database and its keys: `ledger verify` there.")
    return told


def _check_sums(folder: Path) -> list[str]:
    names = _files(folder)
    if SUMS not in names:
        raise NotProven("This folder is no evidence pack: it has no SHA256SUMS.", help="Name the folder of an export.")
    listed: dict[str, str] = {}
    for line in read_lines(folder, SUMS):
        match = _SUM.fullmatch(line)
        if match is None or match[2] in listed:
            raise NotProven("SHA256SUMS of the pack cannot be read.", help=_TAKE)
        listed[match[2]] = match[1]
    covered = {name for name in names if not name.startswith("tile/") and name != SUMS}
    if different := sorted(covered ^ listed.keys()):
        raise NotProven(f"{different[0]} is missing from the pack or from its SHA256SUMS.", help=_TAKE)
    for name in sorted(covered):
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != listed[name]:
            position = re.fullmatch(r"(?:entries|receipts)/([0-9]{1,18})(?:\.tlog-proof)?", name)
            if position is not None:
                raise WrongAt(int(position[1]), f"{name} was altered.")
            raise NotProven(f"{name} of the pack was altered.", help=_TAKE)
    return names


def read_lines(folder: Path, name: str) -> list[str]:
    """Returns the lines of a text file of a pack.

    Raises:
        NotProven: it cannot be read, or has other line ends.
    """
    try:
        data = (folder / name).read_bytes()
        text = data.decode("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise NotProven(f"{name} of the pack cannot be read.", help=_TAKE) from error
    if not text.endswith("\n") or "\r" in text:
        raise NotProven(f"{name} of the pack was altered.", help=_TAKE)
    return text.removesuffix("\n").split("\n")  # str.splitlines would take other characters for line ends


def read_info(folder: Path) -> PackInfo:
    """Returns what a pack says it is.

    Raises:
        NotProven: it is no pack, or of another format.
    """
    try:
        info = msgspec.json.decode((folder / "pack.json").read_bytes(), type=PackInfo)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotProven("pack.json of the pack cannot be read.", help=_TAKE) from error
    if info.format != FORMAT:
        raise NotProven("The pack has a format that this version does not know.", help="Use a newer `ledger`.")
    return info


def read_tile(folder: Path, tile: Tile) -> bytes:
    """Returns a tile or entry bundle of a pack, nothing verified.

    Raises:
        NotProven: it is missing.
    """
    try:
        return (folder / tile.path).read_bytes()
    except OSError as error:
        raise NotProven(f"{tile.path} is missing from the pack.", help=_TAKE) from error


def _check_old(
    load: Callable[[Tile], bytes], info: PackInfo, old: bytes, keys: Sequence[VerifierKey], checkpoint: Checkpoint
) -> int:
    if info.kind != "log":
        raise NotProven(
            "A pack of one student has not the hashes that lead from an older checkpoint to its own.",
            help="Export the log without --student, or verify without --checkpoint.",
        )
    try:
        older = open_signed(old, keys).checkpoint
    except NotProven as error:
        raise NotProven(
            f"The older checkpoint: {error.detail}",
            help="If the log's key has changed since, give both keys, each as you were given it: --key, repeated.",
        ) from error
    check_continues(load, older, checkpoint)
    return older.size


def _check_log(
    folder: Path,
    load: Callable[[Tile], bytes],
    names: Sequence[str],
    info: PackInfo,
    checkpoint: Checkpoint,
    progress: Callable[[int, int], None] | None,
) -> int:
    bundles = bundles_of(info.size, info.since)
    expected = {tile.path for tile in (*tiles_of(info.size), *bundles)}
    found = {name for name in names if name.startswith("tile/")}
    if different := sorted(expected ^ found):
        raise NotProven(f"{different[0]} is missing from the pack, or should not be there.", help=_TAKE)
    done = 0
    for bundle in bundles:
        first = bundle.number * WIDTH + 1
        try:
            entries = read_bundle(read_tile(folder, bundle), bundle)
        except NotProven as error:
            raise WrongAt(first, error.detail) from error
        for wrong in check_entries(load, first, entries, info.size):
            raise wrong
        done += len(entries)
        if progress is not None:
            progress(first + len(entries) - 1, info.size)
    check_tiles(load, checkpoint)  # after the entries, which name a position exactly
    return done


def _check_student(folder: Path, names: Sequence[str]) -> tuple[int, UUID | None]:
    """Returns how many entries there are and whose; that they are in the log is the receipts' matter."""
    for name in names:
        if not re.fullmatch(r"(?:entries/[1-9][0-9]{0,17}|receipts/[1-9][0-9]{0,17}\.tlog-proof)", name) and (
            "/" in name or not (folder / name).is_file()
        ):
            raise NotProven(f"{name} does not belong into a pack of one student.", help=_TAKE)
    positions = sorted(int(name.partition("/")[2]) for name in names if name.startswith("entries/"))
    student: UUID | None = None
    for position in positions:
        try:
            entry = decode_entry((folder / "entries" / str(position)).read_bytes())
        except InvalidInput as error:
            raise WrongAt(position, error.detail) from error
        if entry.position != position:
            raise WrongAt(position, "the entry says that it stands elsewhere.")
        if student not in (None, entry.subject_id):
            raise WrongAt(position, "the entry is about another student than the ones before it.")
        student = entry.subject_id
    return len(positions), student


def _check_receipts(
    folder: Path,
    names: Sequence[str],
    load: Callable[[Tile], bytes],
    info: PackInfo,
    signer: VerifierKey,
    checkpoint: Checkpoint,
    progress: Callable[[int, int], None] | None,
) -> int:
    """Verifies receipts under the pack's own checkpoint: that is the one that witnesses vouch for."""
    receipts = sorted((int(Path(name).name.partition(".")[0]), name) for name in names if name.startswith("receipts/"))
    for done, (position, name) in enumerate(receipts, 1):
        try:
            receipt = parse_receipt((folder / name).read_bytes())
            if receipt.leaf != position - 1:
                raise NotProven("it is the receipt of another position.")  # noqa: TRY301 - said with its position below
            if verify_receipt(receipt, _entry(folder, load, info, position), signer).checkpoint != checkpoint:
                raise NotProven("the receipt leads to another checkpoint than the pack's.")  # noqa: TRY301 - likewise
        except NotProven as error:
            raise WrongAt(position, error.detail) from error
        if progress is not None:
            progress(done, len(receipts))
    return len(receipts)


def _entry(folder: Path, load: Callable[[Tile], bytes], info: PackInfo, position: int) -> bytes:
    if info.kind == "student":
        try:
            return (folder / "entries" / str(position)).read_bytes()
        except OSError as error:
            raise NotProven("the receipt has no entry in the pack.", help=_TAKE) from error
    bundle = tile_at(ENTRIES, (position - 1) // WIDTH, info.size)
    return read_bundle(load(bundle), bundle)[(position - 1) % WIDTH]
