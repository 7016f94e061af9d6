"""ImagePin: the image that a tag named when it was first resolved, or one by digest that was there.

Owns the digest that a tag is pinned to, and the notice when the tag has moved since. Refuses to own the image, and to
follow a tag: a moved one is taken only when its digest is written behind it, or when the pin itself is replaced.

The registry's own protocol: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
"""

from dataclasses import replace
from typing import ClassVar, Final

from pydantic import Field

from azureml_scoring.plan.reference import Reference
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.framework import Context, Outputs, ReadResult
from azureml_scoring.provider.pin import Pin
from azureml_scoring.provider.registry_client import Login, resolve_digest
from azureml_scoring.provider.values import UNKNOWN, Properties, has_unknown
from azureml_scoring.settings.arguments import ImagePinArgs

DELETED: Final = "nothing"
"""`movedTo` of a tag that was deleted."""


class ImagePinOutputs(Outputs):
    """Which image that is."""

    image: str = Field(description="The image by digest: host/repository@sha256:….")
    digest: str = Field(description="The digest that is pinned.")
    moved_to: str = Field(
        default="",
        description="What the tag names now, where a refresh found it moved: a difference until the next up.",
    )


class ImagePin(Pin[ImagePinArgs]):
    """The image that a tag named when it was first looked up; it does not follow the tag."""

    name = "ImagePin"
    inputs = ImagePinArgs
    outputs = ImagePinOutputs
    ignored_in_diff: ClassVar[frozenset[str]] = frozenset({"username", "password"})
    secret: ClassVar[frozenset[str]] = frozenset({"password"})

    def preview_state(self, olds: Properties, news: Properties) -> Properties:
        """Tell the digest where it is written, or pinned already."""
        if not isinstance(news["reference"], str):
            return super().preview_state(olds, news)
        reference = Reference.parse(news["reference"])
        digest = reference.digest or _pinned_digest(olds, reference)
        known = {"image": reference.at(digest), "digest": digest} if digest else {"image": UNKNOWN, "digest": UNKNOWN}
        return {**news, **known, "movedTo": ""}

    def warn_on_diff(self, context: Context, olds: Properties, news: Properties) -> None:
        """Say that the tag has moved."""
        if has_unknown(news) or not isinstance(news.get("reference"), str):
            return
        reference = Reference.parse(news["reference"])
        digest = reference.digest or _pinned_digest(olds, reference)
        if not digest or reference.fixed:
            return
        try:
            current = _tag_digest(context, reference, _login(self._parse(news)))
        except ResourceError as error:
            context.log(f"whether {reference.tagged} has moved is not known: {error}")
            return
        if current != digest:
            context.warn(_move_warning(reference, digest, current))

    def _first(self, context: Context, inputs: ImagePinArgs) -> Outputs:
        return _first_pin(context, inputs)

    def _postponed(self, news: Properties) -> str:
        return f"{news['reference']} will be looked up"

    def _create(self, context: Context, inputs: ImagePinArgs) -> tuple[str, Outputs]:
        reference = Reference.parse(inputs.reference)
        return inputs.reference if reference.fixed else reference.tagged, _first_pin(context, inputs)

    def _update(self, context: Context, resource_id: str, olds: Properties, inputs: ImagePinArgs) -> Outputs:
        """Keep the digest while the tag's name is the same and no other digest is written."""
        del resource_id
        return _pin(context, inputs, _pinned_digest(olds, Reference.parse(inputs.reference)))

    def _read(self, context: Context, resource_id: str, olds: Properties, inputs: Properties) -> ReadResult | None:
        """Resolve the tag again, and keep the pinned digest: without it, the next up would follow the tag."""
        values = {**olds, **inputs} if olds else {"reference": resource_id}
        model = self._parse({name: values[name] for name in ("reference", "username", "password") if name in values})
        reference = Reference.parse(model.reference)
        digest = str(olds.get("digest") or "")
        if not digest:
            state = {**model.wire(), **_pin(context, model).wire()}
            return ReadResult(resource_id, state, model.wire())
        if reference.fixed:
            return ReadResult(resource_id, olds, inputs)
        try:
            current = _tag_digest(context, reference, _login(model))
        except ResourceError as error:
            context.warn(f"{reference.tagged} could not be looked up and stays at {digest}: {error}")
            return ReadResult(resource_id, olds, inputs)
        return ReadResult(resource_id, {**olds, "movedTo": "" if current == digest else current or DELETED}, inputs)


def _pinned_digest(olds: Properties, reference: Reference) -> str:
    """Return the digest that is pinned for this tag; empty where the state is about another one."""
    before = olds.get("reference")
    if not isinstance(before, str) or Reference.parse(before).tagged != reference.tagged:
        return ""
    return str(olds.get("digest") or "")


def _first_pin(context: Context, inputs: ImagePinArgs) -> ImagePinOutputs:
    """Pin for the first time; without a diff before it, this is where a tag that names another image is warned of."""
    outputs = _pin(context, inputs)
    reference = Reference.parse(inputs.reference)
    if (
        reference.digest
        and reference.tag
        and (current := _tag_digest(context, reference, _login(inputs))) != reference.digest
    ):
        context.warn(_move_warning(reference, reference.digest, current))
    return outputs


def _pin(context: Context, inputs: ImagePinArgs, pinned: str = "") -> ImagePinOutputs:
    """Take the digest that is written, else the pinned one, else the tag's; a written one is checked to exist."""
    reference = Reference.parse(inputs.reference)
    digest = reference.digest or pinned or _tag_digest(context, reference, _login(inputs))
    if not digest:
        raise ResourceError(f"{reference.tagged} is not in the registry; correct the tag, or push it first")
    if reference.digest and resolve_digest(context.arm, reference, _login(inputs)) is None:
        raise ResourceError(f"{reference.at(digest)} is not in the registry; write the digest of an image that is")
    return ImagePinOutputs(image=reference.at(digest), digest=digest)


def _tag_digest(context: Context, reference: Reference, login: Login | None) -> str:
    """Return what the tag names now; empty when there is no such tag."""
    return resolve_digest(context.arm, replace(reference, digest=""), login) or ""


def _move_warning(reference: Reference, digest: str, current: str) -> str:
    if not current:
        return f"{reference.tagged} was deleted; {digest} stays deployed"
    move = f"{reference.tagged} was moved from {digest} to {current}"
    return f"{move}; {digest} stays deployed; to take the new one, write {reference.tagged}@{current}"


def _login(inputs: ImagePinArgs) -> Login | None:
    return Login(inputs.username, inputs.password or "") if inputs.username else None
