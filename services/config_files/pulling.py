"""Write what the server has into a folder, without losing an edit that is not pushed yet."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from services.config_files.documents import write
from services.config_files.folder import KEPT, Folder, Known, Lock, names_secret, placeholders, save_lock
from services.config_files.kinds import JSON, RULES, RULESET_FIELDS, TESTS, Key, place_of, secret_field

SECRET_LISTS = ("secrets",)


class Pulled(StrEnum):
    WRITTEN = "written"
    EDITED = "kept: edited here, and not on the server"
    NEW = "kept: new here, not pushed yet"
    GONE = "gone on the server; --prune deletes the file"
    PRUNED = "deleted: gone on the server"
    CONFLICT = "kept: edited here and changed on the server; --overwrite takes the server's"


@dataclass(frozen=True, slots=True)
class Result:
    key: Key
    what: Pulled


def pull(
    folder: Folder, server: Mapping[Key, Known], lock: Lock, prune: bool = False, overwrite: bool = False
) -> list[Result]:
    """Gives what was done with each file that was not the same already."""
    folder.root.mkdir(parents=True, exist_ok=True)
    mine, results = folder.bodies(), []
    for key in sorted(mine.keys() | server.keys(), key=place_of):
        theirs, base = server.get(key), lock.known.get(key)
        if theirs is None:
            what = _gone(base is not None, prune)
            if what is Pulled.PRUNED:
                _path(folder.root, key).unlink()
                lock.known.pop(key, None)
            results.append(Result(key, what))
        elif mine.get(key) == theirs.body:
            lock.known[key] = theirs
        else:
            what = _differs(mine.get(key), theirs.body, base.body if base else None, overwrite)
            if what is Pulled.WRITTEN:
                _write(folder, key, theirs.body)
                lock.known[key] = theirs
            results.append(Result(key, what))
    save_lock(folder.root, lock)
    return results


def _gone(was_there: bool, prune: bool) -> Pulled:
    if not was_there:
        return Pulled.NEW
    return Pulled.PRUNED if prune else Pulled.GONE


def _differs(mine: JSON | None, theirs: JSON, base: JSON | None, overwrite: bool) -> Pulled:
    if mine is None or overwrite or mine == base:
        return Pulled.WRITTEN
    return Pulled.EDITED if base == theirs else Pulled.CONFLICT


def _path(root: Path, key: Key) -> Path:
    """The file as it is called already, else as we call it."""
    other = root / f"{key}.yml"
    return other if other.exists() else root / key.file


def _write(folder: Folder, key: Key, body: JSON) -> None:
    old = folder.documents.get(key)
    whole = dict(body)
    if key == RULES and old is not None and TESTS not in RULESET_FIELDS and TESTS in old.body:
        whole[TESTS] = old.body[TESTS]
    if (name := secret_field(key, body)) is not None:
        said = placeholders(old.body).get(name) if old is not None else None
        kept: object = [KEPT] if name in SECRET_LISTS else KEPT
        whole[name] = said if said is not None and names_secret(said) else kept
    path = _path(folder.root, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(write(whole, old), encoding="utf-8")
