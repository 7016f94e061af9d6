"""ImagePin: the image that a tag named when it was first looked up.

Owns the digest that a tag is pinned to, and the notice when the tag has moved since. Refuses to own the image, and to
follow a tag: a moved one is taken only when its digest is written behind it, or when the pin itself is replaced.

The registry's own protocol: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
"""

from dataclasses import replace
from typing import ClassVar, Final

from pydantic import Field

from azureml_scoring.plan.reference import Reference
from azureml_scoring.provider.arm import UnreachableError
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.framework import Context, Diff, Outputs, ReadResult, Resource
from azureml_scoring.provider.registry_client import Login, look_up
from azureml_scoring.provider.values import UNKNOWN, Properties, has_unknown
from azureml_scoring.settings.arguments import ImagePinArgs

DELETED: Final = "nothing"
"""Where a tag points that is not there any more."""


class ImagePinOutputs(Outputs):
    """Which image that is."""

    image: str = Field(description="The image by digest: host/repository@sha256:….")
    digest: str = Field(description="The digest that is pinned.")
    moved_to: str = Field(
        default="",
        description="What the tag names now, where a refresh found it moved: a difference until the next up.",
    )


class ImagePin(Resource[ImagePinArgs]):
    """The image that a tag named when it was first looked up; it does not follow the tag."""

    name = "ImagePin"
    inputs = ImagePinArgs
    outputs = ImagePinOutputs
    ignored_in_diff: ClassVar[frozenset[str]] = frozenset({"username", "password"})
    secret: ClassVar[frozenset[str]] = frozenset({"password"})

    def create(self, context: Context, news: Properties) -> tuple[str, Properties]:
        """Look the tag up in preview as well, where that is possible: it only reads."""
        if context.preview and not has_unknown(news):
            try:
                return "", {**news, **_first(context, self._parse(news)).wire()}
            except UnreachableError as error:
                context.log(f"{news['reference']} will be looked up by the update: {error}")
        return super().create(context, news)

    def preview_state(self, olds: Properties, news: Properties) -> Properties:
        """Tell the digest where it is written, or pinned already."""
        reference = news["reference"]
        if not isinstance(reference, str):
            return super().preview_state(olds, news)
        wanted = Reference.parse(reference)
        digest = wanted.digest or _kept(olds, wanted)
        known = {"image": wanted.at(digest), "digest": digest} if digest else {"image": UNKNOWN, "digest": UNKNOWN}
        return {**news, **known, "movedTo": ""}

    def diff(self, resource_id: str, olds: Properties, news: Properties) -> Diff:
        """Count a move that a refresh has found as a difference, so that those who look for drift see it."""
        found = super().diff(resource_id, olds, news)
        return replace(found, updated=found.updated | {"movedTo"}) if olds.get("movedTo") else found

    def warn_on_diff(self, context: Context, olds: Properties, news: Properties) -> None:
        """Say that the tag has moved."""
        reference = news.get("reference")
        if has_unknown(news) or not isinstance(reference, str):
            return
        wanted = Reference.parse(reference)
        digest = wanted.digest or _kept(olds, wanted)
        if not digest:
            return
        try:
            found = _tag_digest(context, wanted, _login(self._parse(news)))
        except ResourceError as error:
            context.log(f"whether {wanted.tagged} has moved is not known: {error}")
            return
        if found != digest:
            context.warn(_moved(wanted, digest, found))

    def _create(self, context: Context, inputs: ImagePinArgs) -> tuple[str, Outputs]:
        return Reference.parse(inputs.reference).tagged, _first(context, inputs)

    def _update(self, context: Context, resource_id: str, olds: Properties, inputs: ImagePinArgs) -> Outputs:
        """Keep the digest while the tag's name is the same and no other digest is written."""
        del resource_id
        return _pinned(context, inputs, _kept(olds, Reference.parse(inputs.reference)))

    def _read(self, context: Context, resource_id: str, olds: Properties, inputs: Properties) -> ReadResult | None:
        """Look the tag up again, and keep what is pinned: a pin that got lost would follow the tag."""
        given = {**olds, **inputs} if olds else {"reference": resource_id}
        model = self._parse({name: given[name] for name in ("reference", "username", "password") if name in given})
        wanted = Reference.parse(model.reference)
        digest = str(olds.get("digest") or "")
        if not digest:
            return ReadResult(wanted.tagged, {**model.wire(), **_pinned(context, model).wire()}, model.wire())
        try:
            found = _tag_digest(context, wanted, _login(model))
        except ResourceError as error:
            context.warn(f"{wanted.tagged} could not be looked up and stays at {digest}: {error}")
            return ReadResult(resource_id, olds, inputs)
        return ReadResult(resource_id, {**olds, "movedTo": "" if found == digest else found or DELETED}, inputs)

    def _delete(self, context: Context, resource_id: str, olds: Properties) -> None:
        """Forget the digest: nothing of it is on Azure."""
        del context, resource_id, olds


def _kept(olds: Properties, wanted: Reference) -> str:
    """Return the digest that was pinned for this tag; empty where another one was."""
    before = olds.get("reference")
    if not isinstance(before, str) or Reference.parse(before).tagged != wanted.tagged:
        return ""
    return str(olds.get("digest") or "")


def _first(context: Context, inputs: ImagePinArgs) -> ImagePinOutputs:
    """Pin for the first time; no difference is looked for then, so that a tag that is elsewhere is told here."""
    made = _pinned(context, inputs)
    wanted = Reference.parse(inputs.reference)
    if wanted.digest and (found := _tag_digest(context, wanted, _login(inputs))) != wanted.digest:
        context.warn(_moved(wanted, wanted.digest, found))
    return made


def _pinned(context: Context, inputs: ImagePinArgs, kept: str = "") -> ImagePinOutputs:
    """Take the digest that is written, else the one kept, else what the tag names; look whether it is there."""
    wanted = Reference.parse(inputs.reference)
    digest = wanted.digest or kept or _tag_digest(context, wanted, _login(inputs))
    if not digest:
        raise ResourceError(f"{wanted.tagged} is not in the registry; correct the tag, or push it first")
    if wanted.digest and look_up(context.arm, wanted, _login(inputs)) is None:
        raise ResourceError(f"{wanted.at(digest)} is not in the registry; write the digest of an image that is")
    return ImagePinOutputs(image=wanted.at(digest), digest=digest)


def _tag_digest(context: Context, wanted: Reference, login: Login | None) -> str:
    """Return what the tag names now; empty when there is no such tag."""
    tag = Reference(wanted.host, wanted.repository, wanted.tag)
    return look_up(context.arm, tag, login) or ""


def _moved(wanted: Reference, digest: str, found: str) -> str:
    where = f"{wanted.tagged} was moved from {digest} to {found}" if found else f"{wanted.tagged} was deleted"
    accept = f"; to take the new one, write {wanted.tagged}@{found}" if found else ""
    return f"{where}; {digest} stays deployed{accept}"


def _login(inputs: ImagePinArgs) -> Login | None:
    return Login(inputs.username, inputs.password or "") if inputs.username else None
