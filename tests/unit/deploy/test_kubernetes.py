"""The manifests: every service deployed and reachable by its name, probed, without root, with settings that exist."""

from typing import Any

import pytest

from tests.unit.deploy.files import DEPLOY, SERVICES, is_setting, kustomization, manifests, pinned

OBJECTS = [each for _, each in manifests()]
WORKLOADS = [each for each in OBJECTS if each["kind"] in ("Deployment", "Job")]


def found(kind: str, name: str) -> dict[str, Any]:
    [one] = [each for each in OBJECTS if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return one


def pod(workload: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = workload["spec"]["template"]["spec"]
    return spec


def test_the_kustomization_takes_every_manifest_and_no_other() -> None:
    taken = kustomization()["resources"]
    assert sorted(taken) == sorted(f"kubernetes/{path.name}" for path in (DEPLOY / "kubernetes").glob("*.yaml"))
    for generator in kustomization()["configMapGenerator"]:
        assert all((DEPLOY / file).exists() for file in generator.get("files", []))


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_deployed_reachable_and_probed(name: str) -> None:
    [container] = pod(found("Deployment", name))["containers"]
    assert container["command"] == ["python", "-m", f"services.{name}"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    service = found("Service", name)["spec"]
    assert service["ports"][0]["port"] == 8080  # what the gateway asks
    labels = found("Deployment", name)["spec"]["template"]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()
    assert found("PodDisruptionBudget", name)["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_the_database_is_migrated_by_the_same_image() -> None:
    [container] = pod(found("Job", "migrate"))["containers"]
    assert container["command"] == ["tocsin", "migrate"]
    assert container["image"] == pod(found("Deployment", "sla"))["containers"][0]["image"]


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: w["metadata"]["name"])
def test_nobody_is_root_or_can_become_it(workload: dict[str, Any]) -> None:
    spec = pod(workload)
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["automountServiceAccountToken"] is False
    for container in spec["containers"]:
        context = container["securityContext"]
        assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]


def test_images_are_pinned() -> None:
    replaced = {image["name"]: f"{image['newName']}:{image['newTag']}" for image in kustomization()["images"]}
    for workload in WORKLOADS:
        for container in pod(workload)["containers"]:
            assert pinned(replaced.get(container["image"], container["image"]))


def test_settings_and_volumes_that_are_named_exist() -> None:
    generated = {generator["name"]: generator for generator in kustomization()["configMapGenerator"]}
    assert all(is_setting(literal.partition("=")[0]) for literal in generated["tocsin"]["literals"])
    for workload in WORKLOADS:
        spec = pod(workload)
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        for volume in volumes.values():
            assert volume.get("configMap", {"name": "gateway"})["name"] in generated
        for container in spec["containers"]:
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= set(volumes)
            for source in container.get("envFrom", []):
                assert "secretRef" in source or source["configMapRef"]["name"] in generated
