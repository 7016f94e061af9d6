"""Which resources of a preview need which. Pure; refuses to own how they are drawn."""

from collections.abc import Mapping, Sequence

from azureml_scoring.delivery.changes import Change


def direct(resources: Sequence[Change]) -> dict[str, list[str]]:
    """Return what each resource needs among these, by URN, without what follows from the rest."""
    urns = {each.urn for each in resources}
    needs = {each.urn: [urn for urn in dict.fromkeys(each.dependencies) if urn in urns] for each in resources}
    every = {urn: _all(urn, needs) for urn in needs}
    indirect = {urn: set().union(*(every[source] for source in sources)) for urn, sources in needs.items()}
    return {urn: [source for source in sources if source not in indirect[urn]] for urn, sources in needs.items()}


def _all(urn: str, needs: Mapping[str, Sequence[str]]) -> set[str]:
    """Return all that a resource needs, also indirectly."""
    seen: set[str] = set()
    waiting = [urn]
    while waiting:
        new = [each for each in needs[waiting.pop()] if each not in seen]
        seen.update(new)
        waiting += new
    return seen
