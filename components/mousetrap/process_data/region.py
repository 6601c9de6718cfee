"""Finds the region in the description of an event's place."""

import re

#: The region of an empty place.
UNNAMED = "(unnamed)"

#: The abbreviations that seismic networks use beside the full names: one region must not be counted as two.
_SHORT = {
    "AK": "Alaska", "AL": "Alabama", "AR": "Arkansas", "AS": "American Samoa", "AZ": "Arizona", "CA": "California",
    "CO": "Colorado", "CT": "Connecticut", "DC": "District of Columbia", "DE": "Delaware", "FL": "Florida",
    "GA": "Georgia", "GU": "Guam", "HI": "Hawaii", "IA": "Iowa", "ID": "Idaho", "IL": "Illinois", "IN": "Indiana",
    "KS": "Kansas", "KY": "Kentucky", "LA": "Louisiana", "MA": "Massachusetts", "MD": "Maryland", "ME": "Maine",
    "MI": "Michigan", "MN": "Minnesota", "MO": "Missouri", "MP": "Northern Mariana Islands", "MS": "Mississippi",
    "MT": "Montana", "MX": "Mexico", "NC": "North Carolina", "ND": "North Dakota", "NE": "Nebraska",
    "NH": "New Hampshire", "NJ": "New Jersey", "NM": "New Mexico", "NV": "Nevada", "NY": "New York", "OH": "Ohio",
    "OK": "Oklahoma", "OR": "Oregon", "PA": "Pennsylvania", "PR": "Puerto Rico", "RI": "Rhode Island",
    "SC": "South Carolina", "SD": "South Dakota", "TN": "Tennessee", "TX": "Texas", "UT": "Utah", "VA": "Virginia",
    "VI": "U.S. Virgin Islands", "VT": "Vermont", "WA": "Washington", "WI": "Wisconsin", "WV": "West Virginia",
    "WY": "Wyoming",
}  # fmt: skip

#: "300km SE of", "South of the", "Off the east coast of the North Island of": up to the last, what follows is the region.
#: Only after such words: a Gulf of Alaska, a Democratic Republic of the Congo are names themselves.
_RELATIVE = re.compile(
    r".*\b(?:[NSEW]{1,3}|(?:north|south|east|west)+|coast|island) of (?:the )?",
    re.IGNORECASE,
)
#: "Northern California", "central Alaska": parts of a state, when a state is what remains.
_PART = re.compile(r"^(?:(?:north|south|east|west)+ern|central) ", re.IGNORECASE)
_STATES = frozenset(_SHORT.values())


def region_of(place: str) -> str:
    """The region in a place such as "4km W of Castaic, CA", "South of the Fiji Islands" or "Kiribati region"."""
    region = place.rpartition(",")[2].strip()
    region = _RELATIVE.sub("", region, count=1).removesuffix(" region").strip()
    region = _SHORT.get(region, region)
    whole = _PART.sub("", region, count=1)
    return (whole if whole in _STATES else region) or UNNAMED
