"""Every path of every service goes through the gateway's table to the service that has it."""

import re
from typing import Any

import pytest

from deploy.routes import TABLE, Route, RouteError, documents, main, routes, table
from tests.unit.deploy.files import DEPLOY, ROOT, SERVICES

NGINX = (DEPLOY / "gateway" / "nginx.conf").read_text()
DOCUMENTS = documents()
PATHS = [(service, path) for service, document in DOCUMENTS.items() for path in document["paths"]]
VALUES = ["7", "C-4812", "0193f0c2-0000-7000-8000-000000000001", "a.b_c-d", "ü"]


def gateway(path: str, text: str | None = None) -> str:
    """What nginx' ``map`` gives for a path: an exact key first, else the first regular expression that matches."""
    lines = re.findall(r'^"(?P<key>[^"]+)" (?P<service>\w+);$', text or TABLE.read_text(), re.MULTILINE)
    exact = {key: service for key, service in lines if not key.startswith("~")}
    if path in exact:
        return exact[path]
    return next((service for key, service in lines if key[0] == "~" and re.search(key[1:], path)), "")


def test_the_table_is_what_the_services_have() -> None:
    assert main(["--check"]) == 0


@pytest.mark.parametrize(("service", "path"), PATHS)
def test_a_path_goes_to_its_own_service(service: str, path: str) -> None:
    for value in VALUES:
        assert gateway(re.sub(r"\{[^}]+\}", value, path)) == service


def test_all_four_services_have_paths() -> None:
    assert {service for service, _ in PATHS} == set(SERVICES)


def test_no_route_hides_from_its_document_and_so_from_the_table() -> None:
    hiding = [str(path) for path in (ROOT / "services").rglob("*.py") if "include_in_schema" in path.read_text()]
    assert hiding == []


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/casesx", "/v1/cases//clocks", "/v1/cases/7/clocks/", "/livez", "/v1/nothing/7"]
)
def test_a_path_that_nobody_has_goes_nowhere(path: str) -> None:
    assert gateway(path) == ""


def test_a_dot_in_a_path_is_a_dot() -> None:
    text = table([Route("/v1/schedules/{name}.ics", "notify")])
    assert gateway("/v1/schedules/primary.ics", text) == "notify"
    assert gateway("/v1/schedules/primary-ics", text) == ""


def document(*paths: str) -> dict[str, Any]:
    return {"paths": {path: {} for path in paths}}


@pytest.mark.parametrize(("mine", "theirs"), [("/v1/a", "/v1/a"), ("/v1/{x}", "/v1/{y}"), ("/v1/a/{x}", "/v1/{y}/b")])
def test_a_path_of_two_services_is_refused(mine: str, theirs: str) -> None:
    with pytest.raises(RouteError, match="can be the same path"):
        routes({"sla": document(mine), "notify": document(theirs)})


def test_an_exact_path_of_one_service_may_stand_among_the_parameters_of_another() -> None:
    text = table(routes({"sla": document("/v1/x/{name}"), "notify": document("/v1/x/active")}))
    assert (gateway("/v1/x/active", text), gateway("/v1/x/other", text)) == ("notify", "sla")


def test_the_gateway_knows_the_table_and_every_service_in_it() -> None:
    assert "include /etc/tocsin/routes.map;" in NGINX
    upstreams = dict(re.findall(r"upstream (\w+) \{ server (\S+);", NGINX))
    assert upstreams == {service: f"{service}:8080" for service in SERVICES}


def test_the_gateways_own_paths_are_nobody_elses() -> None:
    own = set(re.findall(r"location = (\S+)", NGINX))
    assert own == {"/docs", "/livez"}
    assert not own & {path for _, path in PATHS}
    assert not [path for _, path in PATHS if path.startswith("/services/")]
