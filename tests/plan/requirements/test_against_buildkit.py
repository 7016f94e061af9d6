"""Claims that Dockerfiles are read as BuildKit reads them: its own parser reads the same files."""

from collections.abc import Mapping
from typing import Any

from azureml_scoring.plan.requirements.dockerfile import DockerfileError, Instruction, parse, read
from azureml_scoring.plan.requirements.shell_words import Lexer

from tests.docker_read import ask
from tests.plan.requirements.dockerfiles import ARGUMENTS, DOCKERFILES, WORDS

REFUSED = {"error": "refused"}
FRONTENDS_FLAGS: list[str] = []


def shown(step: Instruction) -> dict[str, object]:
    documents = [{"name": each.name, "expand": each.expand, "content": each.content} for each in step.documents]
    return {
        "name": step.name,
        "flags": [*step.flags],
        "arguments": [*step.arguments],
        "exec": step.is_exec,
        "documents": documents,
    }


def ours(text: str, arguments: Mapping[str, str]) -> dict[str, Any]:
    try:
        stages = read(text, arguments)
    except DockerfileError:
        return REFUSED
    return {
        "instructions": [shown(step) for step in parse(text)[1]],
        "stages": [{"base": stage.base, "name": stage.name} for stage in stages],
    }


def test_every_file_has_buildkits_instructions_and_stages() -> None:
    cases = [*((text, {}) for text in DOCKERFILES), *ARGUMENTS]
    answers = ask("dockerfiles", [{"text": text, "arguments": arguments} for text, arguments in cases])
    wrong = {
        text[:200]: (mine, answer)
        for (text, arguments), answer in zip(cases, answers, strict=True)
        if (mine := ours(text, arguments)) != (REFUSED if "error" in answer else answer)
    }
    assert not wrong
    assert sum("error" not in answer for answer in answers) > 150


def test_variables_are_put_in_as_buildkit_does() -> None:
    values = {"A": "1", "E": "", "P": "/usr/local/lib"}
    cases = [(word, escape) for word in WORDS for escape in ("\\", "`")]
    answers = ask("words", [{"text": word, "escape": escape, "values": values} for word, escape in cases])
    for (word, escape), answer in zip(cases, answers, strict=True):
        try:
            mine: object = Lexer(escape).expand(word, values)
        except ValueError:
            mine = REFUSED
        assert mine == (REFUSED if isinstance(answer, dict) else answer), word
