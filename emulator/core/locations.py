"""Azure's public regions: which there are, and how they are written. Pure.

https://learn.microsoft.com/azure/reliability/regions-list
"""

from emulator.core.errors import AzureError

REGIONS = frozenset(
    """
    australiacentral australiaeast australiasoutheast brazilsouth canadacentral canadaeast centralindia centralus
    eastasia eastus eastus2 francecentral germanywestcentral israelcentral italynorth japaneast japanwest koreacentral
    mexicocentral newzealandnorth northcentralus northeurope norwayeast polandcentral qatarcentral southafricanorth
    southcentralus southeastasia southindia spaincentral swedencentral switzerlandnorth uaenorth uksouth ukwest
    westcentralus westeurope westindia westus westus2 westus3
    """.split()  # noqa: SIM905 - a list would be forty lines
)


def region(text: str, type_: str) -> str:
    """A region as Azure writes it back (`West Europe` becomes `westeurope`); 400 for one that does not exist."""
    name = text.replace(" ", "").lower()
    if name in REGIONS or name == "global":
        return name
    raise AzureError(
        400,
        "LocationNotAvailableForResourceType",
        f"The provided location '{text}' is not available for resource type '{type_}'."
        f" List of available regions for the resource type is '{','.join(sorted(REGIONS))}'.",
    )
