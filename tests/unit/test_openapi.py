"""The OpenAPI document is valid, complete, and the one that the routes live up to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from ledger.api.openapi import FORMS, TAGS
from tests.support.document import the_document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ledger.api.schemas.base import Form

Json = dict[str, Any]


@pytest.fixture(scope="module")
def document() -> Json:
    return the_document()


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_document_is_valid_openapi_3_1(document: Json) -> None:
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


def test_every_operation_has_its_own_id_summary_description_and_tag(document: Json) -> None:
    found = list(operations(document))
    ids = [operation["operationId"] for _, _, operation in found]
    assert len(set(ids)) == len(ids) > 40
    known = {name for name, _ in TAGS}
    for path, method, operation in found:
        assert operation["description"], (path, method)
        assert " / " in operation["summary"], (path, method)
        assert set(operation["tags"]) <= known
    assert known == {tag for _, _, operation in found for tag in operation["tags"]}


def test_every_operation_under_v1_says_its_problems_and_security(document: Json) -> None:
    for path, method, operation in operations(document):
        assert "500" in operation["responses"]
        if path.startswith("/v1/"):
            assert operation["security"] == [{"bearer": []}]
            wanted = {"400", "401", "403", "404", "422", "500", "503"}
            wanted |= {"409", "413", "415"} if method == "post" else {"410"}
            wanted -= {"422"} if path.startswith("/v1/data-tracker/") else set()  # a protocol that says 400
            assert wanted <= operation["responses"].keys(), (path, method)
    for response in document["components"]["responses"].values():
        assert list(response["content"]) == ["application/problem+json"]
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_every_post_documents_its_key_its_form_and_its_answer(document: Json) -> None:
    used = set()
    for path, method, operation in operations(document):
        if method != "post" or path == "/v1/bulk":
            continue
        keys = [parameter for parameter in operation["parameters"] if parameter["name"] == "Idempotency-Key"]
        assert [key["required"] for key in keys] == [True], path
        used.add(operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1])
        created = operation["responses"]["201"]
        assert created["content"]["application/json"]["schema"]["$ref"].endswith("/CommandRecorded")
        assert "Ledger-Position" in created["headers"]
    assert used == {form.__name__ for form in FORMS}


def test_what_is_limited_says_so_and_probes_are_not(document: Json) -> None:
    for path, _, operation in operations(document):
        assert ("429" in operation["responses"]) == (path not in {"/livez", "/readyz"}), path


def test_bulk_documents_a_form_for_every_line(document: Json) -> None:
    operation = document["paths"]["/v1/bulk"]["post"]
    line = operation["requestBody"]["content"]["application/x-ndjson"]["schema"]
    assert len(line["oneOf"]) == len(FORMS)
    for command, ref in line["discriminator"]["mapping"].items():
        schema = document["components"]["schemas"][ref.rsplit("/", 1)[1]]
        assert {"key", "command"} <= set(schema["required"])
        assert schema["properties"]["command"]["const"] == command
        assert schema["additionalProperties"] is False
        assert schema["examples"][0]["command"] == command
    assert "application/x-ndjson" in operation["responses"]["200"]["content"]


def test_every_get_says_what_it_shows(document: Json) -> None:
    for path, method, operation in operations(document):
        if method == "get" and path.startswith("/v1/"):
            for media_type, answer in operation["responses"]["200"]["content"].items():
                schema = answer["schema"]
                assert media_type.startswith("text/") or schema.keys() & {"$ref", "anyOf", "items"}, path


def test_lists_take_cursor_and_limit_and_reads_take_min_position(document: Json) -> None:
    for path, method, operation in operations(document):
        # Read from the record itself, which is never behind; or in a protocol that is not ours.
        straight = ("/v1/commands/", "/v1/events/", "/v1/data-tracker/")
        if method != "get" or not path.startswith("/v1/") or path.startswith(straight):
            continue
        names = {parameter["name"] for parameter in operation["parameters"]}
        assert "min_position" in names, path
        assert ("limit" in names) == bool(names & {"cursor", "after"}), path


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_every_example_of_a_form_is_valid_and_every_field_is_described(form: type[Form]) -> None:
    examples = cast("Json", form.model_config["json_schema_extra"])["examples"]
    assert examples
    for example in examples:
        form.model_validate_json(json.dumps(example))
    for name, field in form.model_fields.items():
        assert " / " in (field.description or ""), name


_UNTAGGED = ("/v1/webhooks", "/v1/staff", "/v1/logins")
"""Nothing of these is changed: something is begun, or it is ended once."""
AMENDING = {"correctMark", "voidMark", "correctPeriodMark"}
CREATING = {
    "foundSchool", "formClassGroup", "openCourse", "enrolStudent", "recordMark", "recordLesson", "submitWork",
    "recordAchievement", "grantAward", "creditResult", "nameRepresentative", "giveConsent", "registerRequest",
    "recordHandOver",
}  # fmt: skip
ADDING = {
    "restrictRepresentation",
    "endRepresentation",
    "limitConsent",
    "withdrawConsent",
    "extendRequest",
    "answerRequest",
}
"""What adds to a thing that has no tag: it is there or it is not, and nobody overwrites it."""


def headers_taken(operation: Json) -> set[str]:
    return {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "header"}


def test_every_command_says_what_it_takes_as_a_precondition_and_which_tag_it_answers(document: Json) -> None:
    for path, method, operation in operations(document):
        name = operation["operationId"]
        if method != "post" or "201" not in operation["responses"] or path.startswith(_UNTAGGED):
            continue
        assert "412" in operation["responses"], name
        assert ("428" in operation["responses"]) == (name in AMENDING), name
        assert ("If-Match" in headers_taken(operation)) == (name not in CREATING | ADDING), name
        assert "Prefer" in headers_taken(operation), name
        assert {"ETag", "Location", "Preference-Applied"} <= operation["responses"]["201"]["headers"].keys(), name
        assert operation["responses"]["204"].keys() == {"description", "headers"}, name
    assert not any(key.startswith("x-") for _, _, operation in operations(document) for key in operation)


def test_every_reading_with_a_tag_says_so_and_may_answer_that_nothing_changed(document: Json) -> None:
    """What is shown with an `etag` has the header, and the other way round."""
    tagged = set()
    for path, method, operation in operations(document):
        if (
            method != "get"
            or not path.startswith("/v1/")
            or "application/json" not in operation["responses"]["200"]["content"]
        ):
            continue
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        names = [part["$ref"].rsplit("/", 1)[1] for part in schema.get("anyOf", [schema])]
        shown = {"etag" in document["components"]["schemas"][name]["properties"] for name in names}
        assert shown == {"304" in operation["responses"]}, path
        assert shown == {"If-None-Match" in headers_taken(operation)}, path
        assert shown == {"ETag" in operation["responses"]["200"].get("headers", {})}, path
        assert shown == {"412" in operation["responses"]}, path
        if shown == {True}:
            tagged.add(operation["operationId"])
    assert {"readSchool", "readClassGroup", "readCourse", "readStudent", "readJournal", "readPortfolio"} <= tagged
