"""The labelling page's server: whose turn a region is, what becomes of answers, and who may do what."""

import json
import uuid

import numpy as np
import pytest
from starlette.testclient import TestClient

from adeada_jax.annotators.browser.application import MOST_BYTES, application
from adeada_jax.annotators.browser.cells import cells_of
from adeada_jax.annotators.browser.identities import Invited, Named
from adeada_jax.annotators.browser.leases import SECONDS
from adeada_jax.annotators.browser.messages import runs_of
from adeada_jax.annotators.browser.work import MISFITS, Work
from adeada_jax.annotators.by_people import answers_to
from adeada_jax.annotators.requests import Asked
from adeada_jax.annotators.second_opinions import agreement_of, kappa


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def root(request_of_people):
    """A run's directory."""
    root = request_of_people.path.parents[3]
    (root / "config.json").write_text("{}")
    return root


@pytest.fixture
def open_page(root, clock):
    """Opens the page of the run for somebody, on a server that begins anew unless it is given."""

    def begin(share=0.0):
        return application(Work(root, share, clock), Named(), ["testserver"])

    def open_page(who, server=None, share=0.0):
        return Page(TestClient(server or begin(share), headers={"x-annotator": who}))

    open_page.begin = begin
    return open_page


class Page:
    """What the page in a browser asks of the server."""

    def __init__(self, client):
        self.client, self.id, self.tab, self.held = client, None, uuid.uuid4().hex, []
        self.id = self.status().get("request")

    def status(self):
        return self.client.get("/api/status").json()

    def tasks(self, count=1):
        body = {"request": self.id, "page": self.tab, "held": self.held, "count": count}
        tasks = self.client.post("/api/tasks", json=body).json()["tasks"]
        self.held += [[task["image"], task["region"]] for task in tasks]
        return tasks

    def answer(self, task, kind="class", **more):
        entry = {"uuid": str(uuid.uuid4()), "request": self.id, "image": task["image"],
                 "region": task["region"], "kind": kind, "role": task.get("role", "first"), "seconds": 2.5,
                 "clicks": 1, **more}  # fmt: skip
        self.held = [key for key in self.held if key != [task["image"], task["region"]]]
        return entry, self.send(entry)

    def send(self, *entries):
        return self.client.post("/api/answers", json={"answers": entries}).json()


def test_somebody_labels_all_that_is_asked(open_page, request_of_people):
    page = open_page("ann")
    status = page.status()
    assert (status["regions"], status["open"], status["situation"], status["me"]) == (3, 3, "waits", "ann")
    assert [one["name"] for one in status["classes"]] == ["road", "car", "sky"]
    first, second, third = page.tasks(3)
    assert (first["role"], first["size"], first["suggestion"], first["probability"]) == (
        "first",
        [4, 3],
        1,
        0.5,
    )
    values = np.where(np.arange(4).reshape(2, 2) < 2, 2, 255)
    page.answer(first, **{"class": 0})
    page.answer(second, "mask", runs=runs_of(np.pad(values, ((0, 0), (0, second["box"][2] - 2)))))
    page.answer(third, "refused")
    state = answers_to(request_of_people).state()
    kinds = {key: given.kind for key, given in state.settled.items()}
    assert kinds == {("a", 0): "class", ("a", 2): "mask", ("city/b", 1): "refused"}
    assert (state.seconds, state.clicks) == (7.5, 3)
    status = page.status()
    assert (status["open"], status["answered"], status["refused"], status["situation"]) == (0, 2, 1, "ready")
    assert (status["median_seconds"], status["pixels_answered"]) == (2.5, status["pixels"])
    assert page.tasks() == []


def test_two_people_get_different_regions_even_if_the_server_is_replaced(open_page, clock):
    server = open_page.begin()
    ann, bob = open_page("ann", server), open_page("bob", server)
    mine, his = ann.tasks(1), bob.tasks(1)
    assert mine[0]["image"] != his[0]["image"]  # not the same image where it can be avoided
    server = open_page.begin()
    clock.now += SECONDS / 2
    again, tab = open_page("cyd", server), ann.tab
    (left,) = again.tasks(3)
    assert [left["image"], left["region"]] not in [*ann.held, *bob.held]
    ann.client, held = open_page("ann", server).client, list(ann.held)
    clock.now += SECONDS * 0.9
    assert (ann.tasks(3), ann.held, ann.tab) == ([], held, tab)
    clock.now += SECONDS * 0.2  # bob's has lapsed, ann's was renewed
    assert [[task["image"], task["region"]] for task in again.tasks(3)] == bob.held


def test_an_answer_sent_again_is_stored_once_whatever_happened_between(open_page, request_of_people):
    server = open_page.begin(share=1.0)
    ann, bob = open_page("ann", server), open_page("bob", server)
    (task,) = ann.tasks()
    entry, said = ann.answer(task, **{"class": 0})
    assert said == ann.send(entry) == {"stored": [entry["uuid"]], "refused": []}
    (second,) = bob.tasks()
    assert (second["role"], second.get("given")) == ("second", None)
    bob.answer(second, **{"class": 2})
    third = next(task for task in open_page("cyd", server).tasks(3) if task["role"] == "third")
    open_page("cyd", server).answer(third, **{"class": 2, "replaces": third["replaces"]})
    ann.send(entry)
    state = answers_to(request_of_people).state()
    assert state.settled[task["image"], task["region"]].who == "cyd"
    assert len(state.opinions) == 1


def test_second_opinions_are_blind_hold_nothing_up_and_disagreements_are_looked_at_again(
    open_page, request_of_people
):
    server = open_page.begin(share=1.0)
    ann, bob = open_page("ann", server), open_page("bob", server)
    for task in ann.tasks(3):
        ann.answer(task, **{"class": 0})
    assert ann.status()["situation"] == "ready"
    assert ann.tasks(3) == []
    tasks = bob.tasks(3)
    assert {task["role"] for task in tasks} == {"second"}
    for class_id, task in enumerate(tasks):
        bob.answer(task, **{"class": class_id})
    state = answers_to(request_of_people).state()
    assert {given.who for given in state.settled.values()} == {"ann"}
    assert bob.status()["disputed"] == 2
    agreement = agreement_of(request_of_people, state)
    assert (agreement.regions, agreement.disputed) == (3, 2)
    cyd = open_page("cyd", server)
    looks = cyd.tasks(3)
    assert [task["role"] for task in looks] == ["third", "third"]
    assert [[one["class"] for one in task["given"]] for task in looks] == [[0, 1], [0, 2]]
    assert "who" not in json.dumps(looks)
    assert ann.tasks() == bob.tasks() == []  # there is somebody who gave neither
    for task in looks:
        cyd.answer(task, **{"class": 2, "replaces": task["replaces"]})
    settled = answers_to(request_of_people).state().settled
    assert [settled[task["image"], task["region"]].class_id for task in looks] == [2, 2]
    assert cyd.status()["disputed"] == 0
    assert agreement_of(request_of_people, answers_to(request_of_people).state()) == agreement


def test_of_two_people_one_of_the_two_decides(open_page):
    server = open_page.begin(share=1.0)
    ann, bob = open_page("ann", server), open_page("bob", server)
    for page, class_id in ((ann, 0), (bob, 1)):
        for task in page.tasks(3):
            page.answer(task, **{"class": class_id})
    (look,) = ann.tasks()
    assert (look["role"], len(bob.tasks(3))) == ("third", 2)
    ann.answer(look, "unsure", replaces=look["replaces"])
    assert look["region"] not in [task["region"] for task in ann.tasks(3)]
    assert ann.status()["open"] == 0  # an unsure third look takes nothing back


def test_kappa_is_as_scikit_learn_has_it_for_all_classes_and_for_each(open_page, request_of_people):
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 3, (2, 500))
    matrix = np.zeros((3, 3), int)
    np.add.at(matrix, (one, other), 1)
    assert kappa(matrix) == pytest.approx(cohen_kappa_score(one, other), abs=1e-12)
    server = open_page.begin(share=1.0)
    said = []
    for who, classes in (("ann", (0, 1, 1)), ("bob", (0, 1, 2))):
        page = open_page(who, server)
        tasks = sorted(page.tasks(3), key=lambda task: (task["image"], task["region"]))
        said.append(np.repeat(classes, [task["pixels"] for task in tasks]))
        for task, class_id in zip(tasks, classes, strict=True):
            page.answer(task, **{"class": class_id})
    found = agreement_of(request_of_people, answers_to(request_of_people).state())
    assert found.kappa == pytest.approx(cohen_kappa_score(*said), abs=1e-12)
    for c, value in enumerate(found.by_class):
        assert value == pytest.approx(cohen_kappa_score(said[0] == c, said[1] == c), abs=1e-12)


def test_unsure_goes_to_somebody_else_once_and_is_then_refused(open_page, request_of_people):
    server = open_page.begin()
    ann, bob = open_page("ann", server), open_page("bob", server)
    (task,) = ann.tasks()
    ann.answer(task, "unsure")
    assert [task["image"], task["region"]] not in [[one["image"], one["region"]] for one in ann.tasks(3)]
    assert ann.status()["for_others"] == 1
    (again,) = bob.tasks()
    assert (again["image"], again["region"]) == (task["image"], task["region"])
    bob.answer(again, "unsure")
    state = answers_to(request_of_people).state()
    assert state.settled[task["image"], task["region"]].kind == "refused"


def test_ones_own_answers_can_be_seen_and_corrected_and_nobody_elses(open_page, request_of_people):
    server = open_page.begin()
    ann, bob = open_page("ann", server), open_page("bob", server)
    (task,) = ann.tasks()
    entry, _ = ann.answer(task, **{"class": 0})
    (own,) = ann.client.get(f"/api/mine/{ann.id}").json()["answers"]
    assert (own["uuid"], own["given"]) == (entry["uuid"], {"kind": "class", "class": 0, "runs": None})
    assert (own["box"], own["runs"]) == (task["box"], task["runs"])
    assert bob.client.get(f"/api/mine/{ann.id}").json() == {"answers": []}
    bob.answer(task, **{"class": 1, "replaces": entry["uuid"]}, role="third")
    bob.answer(task, **{"class": 1}, role="first")
    key = task["image"], task["region"]
    assert answers_to(request_of_people).state().settled[key].class_id == 0
    ann.answer(task, **{"class": 2, "replaces": entry["uuid"]})
    assert answers_to(request_of_people).state().settled[key].class_id == 2


def test_the_next_rounds_request_comes_by_itself_and_late_answers_count_as_corrections(
    open_page, make_request, request_of_people, root, clock
):
    page = open_page("ann")
    (task,) = page.tasks()
    (root / "rounds/01/labels.json").write_text("{}")
    make_request(round=2, asked=[("a", 1)])
    clock.now += 2
    status = page.status()
    assert (status["round"], status["regions"]) == (2, 1)
    assert status["request"] != page.id
    page.answer(task, **{"class": 0})
    assert answers_to(request_of_people).state().settled.keys() == {(task["image"], task["region"])}


def test_what_answers_nothing_is_told_and_kept(open_page, root, make_request, clock):
    page = open_page("ann")
    (task,) = page.tasks()
    _, said = page.answer(task, request="another", who="bob", **{"class": 0})
    assert MISFITS in said["refused"][0]["error"]
    sample = make_request(round=0)
    (root / "rounds/00/evaluation_labels.json").write_text("{}")
    clock.now += 2
    page.status()
    page.id = sample.id
    _, said = page.answer(task, **{"class": 1})
    assert "evaluation" in said["refused"][0]["error"]
    kept = [json.loads(line) for line in (root / MISFITS).read_text().splitlines()]
    assert [(one["who"], one["class"]) for one in kept] == [("ann", 0), ("ann", 1)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"image": "elsewhere"}, {"region": 77}, {"region": None}, {"kind": "withdrawn"}, {"role": "fourth"},
        {"class": 3}, {"class": True}, {"class": "road"}, {"uuid": "x"}, {"uuid": None}, {"replaces": "y"},
        {"kind": "mask"}, {"kind": "mask", "runs": [[0, 1]]}, {"kind": "mask", "runs": [[9, 4]]},
        {"kind": "mask", "runs": [[0, -1], [0, 5]]}, {"kind": "mask", "runs": [[0.5, 4]]}, {"image": ["a"]},
    ],
)  # fmt: skip
def test_an_answer_that_cannot_be_is_refused_and_the_others_are_stored(open_page, request_of_people, wrong):
    page = open_page("ann")
    first, second = page.tasks(2)
    fine, _ = page.answer(first, **{"class": 1})
    entry = {**fine, "uuid": str(uuid.uuid4()), "image": second["image"], "region": second["region"], **wrong}
    again = {**fine, "uuid": str(uuid.uuid4())}
    said = page.send(entry, again)
    assert said["stored"] == [again["uuid"]]
    assert [one["uuid"] for one in said["refused"]] == [entry["uuid"]]
    assert said["refused"][0]["error"]
    assert len(answers_to(request_of_people).state().settled) == 1


def test_a_mask_of_one_class_is_that_class_and_measures_that_cannot_be_are_none(open_page, request_of_people):
    page = open_page("ann")
    first, second = page.tasks(2)
    area = first["box"][2] * first["box"][3]
    page.answer(first, "mask", runs=[[2, area]], seconds=-1, clicks="many")
    page.answer(second, "mask", runs=[[255, second["box"][2] * second["box"][3]]], seconds=float(10**9))
    settled = answers_to(request_of_people).state().settled
    one, other = settled[first["image"], first["region"]], settled[second["image"], second["region"]]
    assert (one.kind, one.class_id, one.seconds, one.clicks) == ("class", 2, None, None)
    assert (other.kind, other.seconds) == ("refused", None)


def test_only_this_servers_own_page_answers_and_bodies_are_bounded(open_page):
    page = open_page("ann")
    body = json.dumps({"answers": []})
    kind = {"content-type": "application/json"}
    post = page.client.post
    assert (
        post("/api/answers", content=body, headers={**kind, "origin": "http://testserver"}).status_code == 200
    )
    assert (
        post("/api/answers", content=body, headers={**kind, "origin": "http://evil.org"}).status_code == 403
    )
    assert post("/api/answers", content=body, headers={**kind, "origin": "null"}).status_code == 403
    assert post("/api/answers", content=body, headers={**kind, "origin": "http://["}).status_code == 403
    assert post("/api/answers", content=body, headers={"content-type": "text/plain"}).status_code == 415
    assert post("/api/answers", content=b" " * (MOST_BYTES + 1), headers=kind).status_code == 413
    odd = ("[" * 100_000, '{"answers": [{"uuid": NaN}]}', '{"answers": [{"image": "\\ud800"}]}')
    for wrong in ("[", "[]", "{}", '{"answers": 3}', json.dumps({"answers": [0] * 51}), *odd):
        assert post("/api/answers", content=wrong, headers=kind).status_code == 400
    assert page.client.get("/api/status", headers={"host": "evil.org"}).status_code == 400


def test_over_a_network_only_those_with_a_link_get_in_and_the_file_holds_no_token(root, tmp_path):
    path = tmp_path / "people.json"
    tokens = Invited(path).invite(["ann", "Žofie <b>"])
    assert not any(token in path.read_text() for token in tokens.values())
    client = TestClient(application(Work(root, 0.0), Invited(path), ["*"]))
    for headers in (
        {},
        {"x-annotator": "ann"},
        {"authorization": "Bearer x"},
        {"authorization": tokens["ann"]},
    ):
        assert client.get("/api/status", headers=headers).status_code == 401
        assert client.get("/api/images/x/0", headers=headers).status_code == 401
    for name, token in tokens.items():
        found = client.get("/api/status", headers={"authorization": f"Bearer {token}"})
        assert found.json()["me"] == name
    renewed = Invited(path).invite(["ann"])
    client = TestClient(application(Work(root, 0.0), Invited(path), ["*"]))
    assert client.get("/api/status", headers={"authorization": f"Bearer {tokens['ann']}"}).status_code == 401
    for token in (renewed["ann"], tokens["Žofie <b>"]):
        assert client.get("/api/status", headers={"authorization": f"Bearer {token}"}).status_code == 200


@pytest.mark.parametrize("name", ["", "%20", "x" * 65, "a%0Ab", "%E2%80%AE", "a%E2%80%8Cb"])
def test_who_has_no_name_is_asked_for_one(open_page, name):
    client = open_page("ann").client
    found = client.get("/api/status", headers={"x-annotator": name})
    assert found.status_code == 401  # so that the page asks
    assert found.json()["error"]


def test_images_regions_and_cells_are_served_and_nothing_else(open_page, request_of_people):
    page = open_page("ann")
    found = page.client.get(f"/api/images/{page.id}/1")
    assert (found.headers["content-type"], found.content[:4]) == ("image/png", b"\x89PNG")
    assert "default-src 'none'" in found.headers["content-security-policy"]
    shapes = page.client.get(f"/api/shapes/{page.id}/0").json()["regions"]
    assert [(one["region"], one["state"]) for one in shapes] == [(0, "open"), (2, "open")]
    cells = page.client.get(f"/api/cells/{page.id}/0/2/1").json()
    assert sum(length for _, length in cells["runs"]) == shapes[1]["box"][2] * shapes[1]["box"][3]
    for path in ("images/x/0", f"images/{page.id}/2", f"images/{page.id}/-1", f"cells/{page.id}/0/1/1",
                 f"cells/{page.id}/0/2/3", f"shapes/{page.id}/9", "mine/x"):  # fmt: skip
        assert page.client.get(f"/api/{path}").status_code == 404, path
    for path in ("/static/../application.py", "/static/%2e%2e/application.py", "/config.json"):
        assert page.client.get(path).status_code == 404
    (request_of_people.path.parent / "images/city/b.png").write_bytes(b"broken")
    (request_of_people.path.parent / "images/a.png").unlink()
    found = page.client.get(f"/api/images/{page.id}/0")
    assert (found.status_code, "cannot be shown" in found.json()["error"]) == (500, True)
    assert "cannot be shown" in page.client.get(f"/api/cells/{page.id}/1/1/1").json()["error"]


def test_cells_fill_the_region_and_the_finer_lie_within_the_coarser():
    rng = np.random.default_rng(0)
    image = np.kron(rng.integers(0, 255, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    inside = np.add.outer((np.arange(40) - 20) ** 2, (np.arange(50) - 25) ** 2) < 400
    runs = [length for value, length in runs_of(np.concatenate([[0], inside.ravel()]))]
    asked = Asked("a", 0, int(inside.sum()), (5, 7, 50, 40), (runs[0] - 1, *runs[1:]), None, None)
    np.testing.assert_array_equal(asked.inside, inside)
    coarse, fine = (cells_of(image, asked, level) for level in (1, 2))
    for cells in (coarse, fine):
        np.testing.assert_array_equal(cells >= 0, inside)
        assert np.unique(cells[inside]).tolist() == list(range(cells.max() + 1))
    assert 4 <= coarse.max() + 1 < 16
    assert fine.max() > 2 * coarse.max()
    for cell in range(fine.max() + 1):
        assert len(np.unique(coarse[fine == cell])) == 1
    tiny = Asked("a", 0, 2, (0, 0, 2, 1), (0, 2), None, None)
    assert cells_of(image, tiny, 2).tolist() == [[0, 0]]
