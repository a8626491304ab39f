"""Photographs and the styles that they are to be given: folders content/ and style/."""

import re
from collections.abc import Sequence

from exemplar_lab.data.collection import Collection, Item
from exemplar_lab.data.layouts.listing import Listing, keyed, stem
from exemplar_lab.data.layouts.splits import split_items

FOLDERS = (("content", "style"), ("adain_content", "adain_style"), ("contents", "styles"))

_NUMBERED = re.compile(r"(.*?)([0-9]+)")


def styles(listing: Listing) -> Collection | None:
    """Photographs of every content folder in FOLDERS are targets, images of the style folder beside it are exemplars alone.

    in07.jpg and tar07.jpg belong together, as do 07.jpg and 07.jpg: where all names in a folder are one word and a number,
    equal numbers are pairs. Other photographs have no exemplars yet.
    """
    called = [tuple(map(listing.called, two)) for two in FOLDERS]
    places = [two for two in called if all(listing.inside(place) for place in two)]
    if not places:
        return None
    contents = [name for content, _ in places for name in listing.inside(content)]
    chosen = [name for _, style in places for name in listing.inside(style)]
    items, remarks = split_items(listing.folder, [Item(name) for name in contents])
    pairs = {name: other for two in places for name, other in _pairs(*(listing.inside(place) for place in two)).items()}
    exemplars = {split: {item.name: (pairs[item.name],) for item in of if item.name in pairs} for split, of in items.items()}
    alone = len(contents) - len(pairs)
    if pairs and alone:
        remarks += (f"{alone} of {len(contents)} photographs have no style of their number",)
    return Collection(
        folder=listing.folder,
        layout="contents and styles",
        structure="photograph",
        items=items | {"style": tuple(Item(name) for name in chosen)},
        exemplars={split: named for split, named in exemplars.items() if named},
        how="equal numbers" if pairs else "",
        remarks=remarks,
    )


def _pairs(contents: Sequence[str], styles: Sequence[str]) -> dict[str, str]:
    numbered = [_by_number(names) for names in (contents, styles)]
    return {name: numbered[1][number] for number, name in numbered[0].items() if number in numbered[1]}


def _by_number(names: Sequence[str]) -> dict[str, str]:
    """Images by the number that ends their name, if the same word is in front of all of them; otherwise none."""
    found = {name: _NUMBERED.fullmatch(stem(name).rpartition("/")[2]) for name in names}
    if len({match[1].lower() if match else name for name, match in found.items()}) != 1:
        return {}
    return keyed(names, lambda name: str(int(found[name][2])))[0]
