"""What a prepared data set holds, in a form that can be kept and compared later: its fingerprint."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from adeada_jax.types import Json

_SHOWN = 5  # names that a difference lists


def digest(content: bytes) -> str:
    """A checksum of 128 bits as 32 hexadecimal digits."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def record_marks(example: Mapping[str, Any], size: tuple[int, int]) -> dict[str, str]:
    """What tells a record from another: the image's size and the checksums of its encoded parts.

    Args:
      example: PNG or JPEG bytes `image`, PNG bytes `label`, which may be empty.
      size: height and width of the image, upright, in pixels.

    Returns:
      `size` ('64x128', height first), `image`, `label` ('' where there is none).
    """
    marks = {key: digest(example[key]) if example[key] else "" for key in ("image", "label")}
    return {"size": f"{size[0]}x{size[1]}", **marks}


def fingerprint(metadata: Mapping[str, Any], splits: Sequence[str]) -> dict[str, Json]:
    """The fingerprint of some splits of a data set.

    Args:
      metadata: content of its metadata.json.
      splits: that count.

    Returns:
      JSON: `class_names`; and `splits`, each with `name`, `size`, `image` and `label`, lists in the order of
      the records.
    """
    marks = metadata["marks"]
    return {
        "class_names": list(metadata["class_names"]),
        "splits": {
            split: {"name": list(metadata["names"][split])}
            | {key: list(marks[split][key]) for key in ("size", "image", "label")}
            for split in splits
        },
    }


def differences(former: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """How two fingerprints differ, a phrase each; nothing where they are equal."""
    found = []
    if former["class_names"] != now["class_names"]:
        found.append(f"classes {', '.join(former['class_names'])} became {', '.join(now['class_names'])}")
    for split in dict.fromkeys([*former["splits"], *now["splits"]]):
        found += _record_differences(split, *(side["splits"].get(split) for side in (former, now)))
    return found


def added_images(former: Mapping[str, Any], now: Mapping[str, Any], split: str) -> list[str]:
    """The images that a split has now besides those of before, where nothing else differs; else none."""
    names = set(former["splits"].get(split, {"name": ()})["name"])
    records = now["splits"].get(split, {"name": ()})
    kept = [i for i, name in enumerate(records["name"]) if name in names]
    without = {key: [values[i] for i in kept] for key, values in records.items()}
    if {**now, "splits": {**now["splits"], split: without}} != former:
        return []
    return [name for name in records["name"] if name not in names]


def _record_differences(split: str, former: Any, now: Any) -> list[str]:
    if former is None or now is None:
        return [f"split '{split}' was {'added' if former is None else 'removed'}"]
    if former["name"] != now["name"] and sorted(former["name"]) == sorted(now["name"]):
        return [f"{split}: the images are in another order"]
    before, after = (_by_name(side, ("size", "image")) for side in (former, now))
    labels_before, labels_after = (_by_name(side, ("label",)) for side in (former, now))
    both = [name for name in after if name in before]
    lists = {
        "images added": [name for name in after if name not in before],
        "images removed": [name for name in before if name not in after],
        "images altered": [name for name in both if before[name] != after[name]],
        "labels altered": [name for name in both if labels_before[name] != labels_after[name]],
    }
    return [f"{split}: {what}: {len(names)} ({shown(names)})" for what, names in lists.items() if names]


def partition_differences(former: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """How the partitions of one split's images differ, as far as both are known.

    Args:
      former: JSON `settings`, and by image's name `marks` of what else the maps are made of and checksums of
        the `maps`; empty where there are none, or not yet.
      now: the same as they are now.
    """
    if former["settings"] != now["settings"]:
        return [f"the regions' settings {former['settings']} became {now['settings']}"]
    found = []
    for kind, what in (("marks", "region masks"), ("maps", "region maps")):
        both = former[kind].keys() & now[kind].keys()
        altered = sorted(name for name in both if former[kind][name] != now[kind][name])
        if altered:
            found.append(f"{what} altered: {len(altered)} ({shown(altered)})")
    return found


def _by_name(split: Mapping[str, Sequence[str]], keys: Sequence[str]) -> dict[str, tuple[str, ...]]:
    return dict(zip(split["name"], zip(*(split[key] for key in keys), strict=True), strict=True))


def shown(names: Sequence[str], count: int = _SHOWN) -> str:
    """The first names, and how many more there are."""
    rest = len(names) - count
    return ", ".join(names[:count]) + (f" and {rest} more" if rest > 0 else "")
