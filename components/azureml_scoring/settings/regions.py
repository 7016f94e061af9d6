"""Names of regions. Owns their short form. Imports nothing: a report, which reads regions, starts without pydantic."""


def short_form(region: str) -> str:
    """Spell a region as stack files do: `West Europe` is `westeurope`, which Azure takes for the same."""
    return region.replace(" ", "").lower()
