"""Data sets and jobs: what a job remembers of its data, and which data jobs need."""

from dataclasses import replace
from pathlib import Path

import pytest

from mlp_client.job_spec import Spec
from service.api.job_records import job_record, new_job
from service.domain import cost
from service.domain.dataset_manifest import Manifest
from service.domain.errors import (
    DatasetInUse,
    DatasetNotFound,
)
from service.domain.job_recipe import recipe_of
from service.store.attempts import FAILED, SUCCEEDED
from service.store.jobs import JobStore
from service.store.sql.database import Database
from service.store.stored_dataset import MNIST
from tests.conftest import submit
from tests.support.job_records import BAD, DONE, claim, query, saved
from tests.support.stored_datasets import DatasetHarness


@pytest.fixture
def sets(database: Database, tmp_path: Path) -> DatasetHarness:
    return DatasetHarness(database, tmp_path)


def submit_on(jobs: JobStore, manifest: Manifest, dataset: str = "letters") -> str:
    """Submit a job that was priced for a data set which may be gone by now."""
    spec = Spec(dataset=dataset, epochs=1)
    priced = cost.cost_of(recipe_of(spec.model_dump()), manifest.sizes)
    new = new_job(spec, priced, 1, "6-128-3", manifest)
    return jobs.submit(new, lambda job: job_record(job).model_dump_json()).job


def test_a_job_pins_the_content_of_its_data_set(jobs: JobStore, database: Database) -> None:
    job = jobs.get(submit(jobs))
    assert (job.dataset_sha256, job.manifest.sha256) == (MNIST.sha256, MNIST.sha256)
    assert query(database, "SELECT dataset_sha256 FROM jobs") == [(MNIST.sha256,)]


def test_a_job_of_an_older_version_means_mnist(jobs: JobStore, database: Database) -> None:
    id_ = submit(jobs)
    query(database, "UPDATE jobs SET dataset_sha256 = NULL, manifest = NULL")
    assert jobs.get(id_).manifest == MNIST.manifest
    assert jobs.get(id_).dataset_sha256 == MNIST.sha256


def test_a_job_keeps_its_content_when_the_name_changes_hands(
    sets: DatasetHarness, jobs: JobStore
) -> None:
    before = sets.ready("letters", seed=1)
    assert before.manifest is not None
    job = submit_on(jobs, before.manifest)
    sets.store.delete("letters", force=True)
    after = sets.ready("letters", seed=2)
    assert jobs.get(job).dataset_sha256 == before.sha256 != after.sha256
    sets.leftovers.sweep()
    assert f"sha256-{before.sha256}" in sets.on_disk(), "the job has not ended"
    jobs.act("cancel", job)
    sets.leftovers.sweep()
    assert sets.on_disk() == [f"sha256-{after.sha256}"]
    assert jobs.get(job).manifest.classes == ("a", "b", "c")


def test_a_job_whose_data_set_was_deleted_meanwhile_is_refused(
    sets: DatasetHarness, jobs: JobStore
) -> None:
    manifest = sets.ready("letters").manifest
    assert manifest is not None
    sets.store.delete("letters")
    with pytest.raises(DatasetNotFound, match="no data set 'letters'; there are: mnist"):
        submit_on(jobs, manifest)
    sets.ready("letters", seed=2)
    with pytest.raises(DatasetNotFound):
        submit_on(jobs, manifest)
    assert jobs.page(1).jobs == []


def test_a_job_can_not_use_the_data_set_of_another_owner(
    sets: DatasetHarness, jobs: JobStore
) -> None:
    manifest = sets.ready("letters", "ada").manifest
    assert manifest is not None
    with pytest.raises(DatasetNotFound):
        submit_on(jobs.seen_by("bob", everything=False), manifest)
    assert submit_on(jobs.seen_by("ada", everything=False), manifest)


def test_a_data_set_is_not_deleted_while_jobs_or_networks_need_it(
    sets: DatasetHarness, jobs: JobStore, database: Database
) -> None:
    manifest = sets.ready("letters").manifest
    assert manifest is not None
    job = submit_on(jobs, manifest)
    with pytest.raises(DatasetInUse, match=f"'letters' is needed, .* by 1 job: {job}"):
        sets.store.delete("letters")
    attempt = claim(database, job)
    attempt.commit(saved(attempt, 1), [])
    attempt.end(SUCCEEDED, DONE)
    with pytest.raises(DatasetInUse):
        sets.store.delete("letters")
    sets.store.delete("letters", force=True)
    sets.leftovers.sweep()
    assert sets.on_disk() == []
    assert jobs.get(job).manifest == replace(manifest, class_counts=manifest.class_counts)


def test_jobs_without_a_network_do_not_keep_a_data_set(
    sets: DatasetHarness, jobs: JobStore, database: Database
) -> None:
    manifest = sets.ready("letters").manifest
    assert manifest is not None
    claim(database, submit_on(jobs, manifest)).end(FAILED, BAD)
    sets.store.delete("letters")


def test_the_same_content_under_another_name_of_the_owner_is_enough_for_jobs(
    sets: DatasetHarness, jobs: JobStore
) -> None:
    manifest = sets.ready("letters").manifest
    assert manifest is not None
    sets.ready("again")
    submit_on(jobs, manifest)
    sets.store.delete("letters")
    with pytest.raises(DatasetInUse):
        sets.store.delete("again")


def test_jobs_of_others_do_not_keep_an_owner_from_deleting(
    sets: DatasetHarness, jobs: JobStore
) -> None:
    sets.ready("letters", "ada")
    manifest = sets.ready("letters", "bob").manifest
    assert manifest is not None
    job = submit_on(jobs.seen_by("bob", everything=False), manifest)
    for name in ("ada", "bob"):
        sets.store.seen_by(name, everything=False).delete("letters", force=name == "bob")
    sets.leftovers.sweep()
    assert sets.on_disk() == [f"sha256-{manifest.sha256}"], "bob's job has not ended"
    jobs.act("cancel", job)
    sets.leftovers.sweep()
    assert sets.on_disk() == []
