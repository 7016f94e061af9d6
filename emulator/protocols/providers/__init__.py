"""Fakes of Pulumi's providers: the real engine attaches to them and works on the local Azure as the deployer."""

from emulator.core.azure import Azure
from emulator.core.ports import PortInUseError
from emulator.protocols.providers.azure_native import AzureNative
from emulator.protocols.providers.azuread import AzureAd
from emulator.protocols.providers.base import FakeProvider, Listening, listen
from emulator.protocols.providers.docker import Docker
from emulator.services.graph import access as entra


class FakeProviders:
    """The fakes that answer, by the provider's name."""

    def __init__(self, listening: dict[str, Listening]) -> None:
        self._listening = listening

    @property
    def ports(self) -> dict[str, int]:
        """The port of each provider."""
        return {name: each.port for name, each in self._listening.items()}

    @property
    def attach(self) -> str:
        """The value of `PULUMI_DEBUG_PROVIDERS` by which the engine finds them."""
        return ",".join(f"{name}:{port}" for name, port in sorted(self.ports.items()))

    def stop(self) -> None:
        """End them all."""
        for each in self._listening.values():
            each.stop()


def serve(azure: Azure) -> FakeProviders:
    """Let the engine attach; each port is chosen once and stored in the state."""
    principal = entra.deployer(azure).principal
    fakes: tuple[FakeProvider, ...] = (AzureNative(azure, principal), AzureAd(azure, principal), Docker(azure))
    listening: dict[str, Listening] = {}
    try:
        for fake in fakes:
            port_name = f"provider {fake.name}"
            port = azure.ports.choose(port_name)
            try:
                listening[fake.name] = listen(fake, port)
            except RuntimeError as error:
                raise PortInUseError(port_name, port) from error
    except PortInUseError:
        FakeProviders(listening).stop()
        raise
    return FakeProviders(listening)
