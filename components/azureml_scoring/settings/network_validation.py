"""What may not go together in the network of a stack, each with one line. Part of `validation.py`; pure.

https://learn.microsoft.com/azure/machine-learning/how-to-managed-network
https://learn.microsoft.com/azure/machine-learning/concept-secure-online-endpoint
https://learn.microsoft.com/azure/container-registry/container-registry-private-link
"""

from collections.abc import Iterator
from typing import Final

from azureml_scoring.settings.at import At
from azureml_scoring.settings.network import MADE, NONE, PARTS, RANGED, ZONES

_OWNED: Final = ("vault", "storage", "workspace")
"""Parts that are made with the workspace."""
_DESTINATIONS: Final = ("fqdn", "service_tag", "private_endpoint")


def makes_registry(registry: At, workspace: At) -> bool:
    """Tell whether the stack makes the registry that holds the image."""
    own = registry.mode() == "workspace" and not workspace.id
    return own or (registry.mode() == "standalone" and not (registry.id or registry.login_server))


def network_problems(settings: At) -> Iterator[str]:
    """Yield a line for each thing that Azure refuses, or that would not work."""
    network = settings.network
    if not network:
        return
    if settings.workspace.id:
        yield from _existing_workspace(network)
    yield from _managed(settings)
    for _, rule in network.outbound.entries():
        yield from _outbound(rule, network.isolation())
    yield from _access(settings)
    yield from _ranges(network)
    yield from _registry(settings)
    if network.private_endpoints:
        yield from _dns(settings)


def _existing_workspace(network: At) -> Iterator[str]:
    remedy = "workspace.id names a workspace that exists, and its network stays as it is; take it out"
    for field, nothing in ((network.isolation, NONE), (network.outbound, {})):
        if field() != nothing:
            yield field.refused(remedy)
    for part in _OWNED:
        if (field := getattr(network.public_access, part)) and not field():
            yield field.refused(f"{remedy}, and write publicAccess by part")


def _managed(settings: At) -> Iterator[str]:
    """Check the managed network against what runs in it."""
    isolation, kubernetes = settings.network.isolation, settings.endpoint.kind() == "kubernetes"
    if isolation() == NONE:
        yield from _unreached(settings)
        return
    if kubernetes:
        # https://learn.microsoft.com/azure/machine-learning/how-to-managed-network#limitations
        yield isolation.refused("a managed network has no Kubernetes; write none, the cluster has a network of its own")
    for _, deployment in settings.deployments.entries():
        if deployment.egress_public_network_access:
            yield deployment.egress_public_network_access.refused(
                "it is the older way, and has no effect in a managed network; take it out, network.isolation says it"
            )


def _unreached(settings: At) -> Iterator[str]:
    """Refuse to close what deployments reach over the internet, where nothing else leads there.

    https://learn.microsoft.com/azure/machine-learning/concept-secure-online-endpoint#appendix
    """
    network = settings.network
    if settings.workspace.id or settings.endpoint.kind() == "kubernetes":
        return
    parts = [part for part in ("registry", "storage", "workspace") if network().limited(part)]
    open_ = [d for _, d in settings.deployments.entries() if d.egress_public_network_access() is not False]
    if parts and open_:
        yield network.isolation.refused(
            f"deployments reach {' and '.join(parts)} over the internet then, which is closed to them; write "
            "internet-outbound or approved-outbound"
        )


def _outbound(rule: At, isolation: str) -> Iterator[str]:
    named = [each for name in _DESTINATIONS if (each := getattr(rule, name))]
    if len(named) != 1:
        yield rule.refused("what may be reached? write one of fqdn, serviceTag and privateEndpoint")
        return
    if isolation == NONE:
        yield rule.refused("without a managed network deployments reach everything; write network.isolation")
    elif isolation != "approved-outbound" and not rule.private_endpoint:
        yield named[0].refused(f"with isolation {isolation} deployments reach it anyway; take it out")
    if bool(rule.target) != bool(rule.private_endpoint):
        yield rule.target.refused("target goes with privateEndpoint: which part of the resource? such as blob")
    for field in (rule.protocol, rule.ports):
        if field and not rule.service_tag:
            yield field.refused("it goes with serviceTag; take it out")


def _access(settings: At) -> Iterator[str]:
    public, endpoint = settings.network.public_access, settings.endpoint
    written = public.endpoint
    if endpoint.public_network_access and written and endpoint.public_network_access() != written():
        yield written.refused("endpoint.publicNetworkAccess says otherwise; take out one of them")
    if endpoint.kind() == "kubernetes" and not written():
        yield written.refused(
            "the cluster's own network decides who reaches it; write publicAccess by part, without endpoint"
        )


def _ranges(network: At) -> Iterator[str]:
    """Check that ranges limit something, and that nobody takes what they do not limit for limited."""
    ranges, public = network.allowed_ranges, network.public_access
    if not ranges():
        return
    names = ", ".join(ranges())
    if not any(getattr(public, part)() for part in RANGED):
        yield ranges.refused("registry, vault and storage have no public access to limit; take it out", names)
    for part in PARTS[len(RANGED) :]:
        field = getattr(public, part)
        if field() and not field:
            yield field.refused(
                f"no stable version of Azure's API limits it to ranges; write false, or true where the internet may "
                f"reach the {part}"
            )


def _registry(settings: At) -> Iterator[str]:
    """Check what a registry needs that not everybody reaches."""
    network, registry = settings.network, settings.registry
    if not makes_registry(registry, settings.workspace):
        return
    if network().premium and registry.sku() != "Premium":
        yield registry.sku.refused("private endpoints and network rules are of the tier Premium; write Premium")
    if not network().limited("registry"):
        return
    deployments = [deployment for _, deployment in settings.deployments.entries()]
    for image in (settings.image, *(each.image for each in deployments)):
        if image and image().acr_builds and not network.private_endpoints:
            # https://learn.microsoft.com/azure/container-registry/tasks-agent-pools
            yield image.builder.refused(
                "ACR Tasks reaches no registry that is closed to the internet; write network.privateEndpoints, and the "
                "stack makes an agent pool there, or builder: docker"
            )
    for environment in (settings.environment, *(each.environment for each in deployments)):
        if environment.base:
            # https://learn.microsoft.com/azure/machine-learning/how-to-managed-network#configure-image-builds
            yield environment.base.refused(
                "Azure ML builds no image into a registry that is closed to the internet; write image, or "
                "environment.reference"
            )


def _dns(settings: At) -> Iterator[str]:
    dns, workspace = settings.network.private_endpoints.dns, settings.workspace
    words = [each for each in dns() if each in {MADE, NONE}]
    if not dns() or (words and len(dns()) > 1):
        yield dns.refused("write made, none, or the ARM ids of existing zones", ", ".join(dns()))
    if words or not dns():
        return
    known = {each.rpartition("/")[2].lower() for each in dns()}
    for group in needed_groups(settings.registry, workspace):
        for zone in ZONES[group]:
            if zone not in known:
                yield dns.refused(f"no zone {zone} is among them; add it", f"{len(known)} zones")


def needed_groups(registry: At, workspace: At) -> Iterator[str]:
    """Name the groups of private endpoints that a stack needs."""
    if not workspace.id or makes_registry(registry, workspace):
        yield "registry"
    if not workspace.id:
        yield from ("vault", "blob", "file", "amlworkspace")
