"""Every end: recorded once, sent to whoever waits, told as an event."""

from zmesh.config.limits import DispatchLimits
from zmesh.dispatch.askers import AskerRoute
from zmesh.dispatch.endings import Endings, Outbox
from zmesh.dispatch.event import Outgoing, RequestEnded
from zmesh.dispatch.execution import Execution
from zmesh.dispatch.executions import Executions
from zmesh.dispatch.slots import Pool, Runner
from zmesh.wire.request import NotStarted, Outcome, Reason, Reply, Request

ID = (9, 1)
RUNNER = Runner("r1", "ocr", Pool(), 1, 11, 1, 0.0, {})


class Fixture:
    """One execution, running for ``a1``."""

    def __init__(self, **limits: int) -> None:
        self.executions = Executions(DispatchLimits(**limits))
        self.outbox = Outbox()
        self.endings = Endings("box", self.executions, self.outbox)
        self.asker = AskerRoute("a1", 0.0, {})
        self.execution = Execution(ID, "ocr", 1.0, 60.0, runner=RUNNER, started_at=2.0)
        self.executions.add(self.execution)
        self.asker.attach(self.execution)

    def told(self) -> tuple[list[Outgoing], list[object]]:
        return self.outbox.messages, list(self.outbox.events)


def test_a_reply_goes_out_under_the_nodes_name():
    made = Fixture()
    made.endings.ran(made.execution, Reply(ID, Outcome.RAISED, "", "", 0, 0, "ValueError", "no"), b"b", 5.0)
    answer = Reply(ID, Outcome.RAISED, "box", "", 1_000_000, 3_000_000, "ValueError", "no")
    event = RequestEnded(ID, "ocr", Outcome.RAISED, 1_000_000, 3_000_000, "no")
    assert made.told() == ([Outgoing("a1", answer, b"b")], [event])
    assert made.asker.unfinished == {}
    assert made.execution.ended_at == 5.0


def test_the_reply_to_what_was_cancelled_goes_nowhere():
    made = Fixture()
    made.execution.cancelled = True
    made.asker.detach(made.execution)
    made.endings.ran(made.execution, Reply(ID, Outcome.OK), b"unwanted", 5.0)
    assert made.told() == ([], [RequestEnded(ID, "ocr", Outcome.CANCELLED, 1_000_000, 3_000_000)])
    assert made.execution.answer_body == b""


def test_lost_says_how():
    made = Fixture()
    made.endings.lost(made.execution, "killed", 5.0)
    answer = Reply(ID, Outcome.LOST, "box", "", 1_000_000, 3_000_000, "", "killed")
    assert made.told()[0] == [Outgoing("a1", answer)]


def test_not_started_says_why():
    made = Fixture()
    made.endings.not_started(made.execution, Reason.BUSY, 5.0, 120)
    assert made.told() == (
        [Outgoing("a1", NotStarted(ID, Reason.BUSY, "box", 120))],
        [RequestEnded(ID, "ocr", Reason.BUSY)],
    )


def test_not_started_names_no_time_to_come_back_unless_told():
    made = Fixture()
    made.endings.not_started(made.execution, Reason.EXPIRED, 5.0)
    assert made.told()[0] == [Outgoing("a1", NotStarted(ID, Reason.EXPIRED, "box", 0))]


def test_nothing_is_sent_to_an_asker_that_is_away():
    made = Fixture()
    made.asker.orphaned_until = 9.0
    made.endings.cancelled(made.execution, 5.0)
    messages, events = made.told()
    assert messages == []
    assert len(events) == 1
    assert made.execution.answer is not None


def test_a_refusal_is_remembered():
    made = Fixture()
    made.endings.refused(Request((9, 2), 77, "ocr", 1), "a2", Reason.BUSY, 50, 5.0)
    assert made.told()[0] == [Outgoing("a2", NotStarted((9, 2), Reason.BUSY, "box", 50))]
    remembered = made.executions.find((9, 2))
    assert remembered is not None
    made.endings.repeated(remembered, "a3")
    assert made.told()[0][-1] == Outgoing("a3", NotStarted((9, 2), Reason.BUSY, "box", 50))


def test_a_refusal_that_cannot_be_remembered_counts_as_forgotten():
    made = Fixture(executions_max=1)
    made.endings.refused(Request((9, 2), 77, "ocr", 1), "a2", Reason.BUSY, 0, 5.0)
    assert made.executions.find((9, 2)) is None
    assert made.executions.may_be_forgotten((9, 2), 5.0)
    made.executions.expire(5.0 + DispatchLimits().asker_horizon_s)
    assert not made.executions.may_be_forgotten((9, 2), 5.0)


def test_what_made_room_for_a_refusal_is_forgotten_at_that_time():
    made = Fixture(executions_max=1, asker_horizon_s=100)
    made.endings.cancelled(made.execution, 5.0)
    made.endings.refused(Request((9, 2), 77, "ocr", 1), "a2", Reason.BUSY, 0, 50.0)
    made.executions.expire(149.0)
    assert made.executions.may_be_forgotten(ID, 149.0)


def test_what_is_meant_for_another_start_leaves_no_trace():
    made = Fixture()
    made.endings.meant_for_another(Request((9, 2), 78, "ocr", 1), "a2")
    assert made.told() == (
        [Outgoing("a2", NotStarted((9, 2), Reason.WRONG_INSTANCE, "box"))],
        [RequestEnded((9, 2), "ocr", Reason.WRONG_INSTANCE)],
    )
    assert made.executions.find((9, 2)) is None


def test_forgotten_says_so_and_is_told():
    made = Fixture()
    made.endings.forgotten(Request((9, 2), 77, "ocr", 1), "a2")
    messages, [event] = made.told()
    answer = messages[0].header
    assert (answer.id, answer.outcome, answer.node_id) == ((9, 2), Outcome.FORGOTTEN, "box")
    assert "no longer kept" in answer.detail
    assert event == RequestEnded((9, 2), "ocr", Outcome.FORGOTTEN, detail=answer.detail)


def test_a_copy_gets_the_answer_while_it_is_kept():
    made = Fixture(result_memory_s=1)
    made.execution.cancelled = True
    made.endings.repeated(made.execution, "a2")
    made.endings.ran(made.execution, Reply(ID, Outcome.OK), b"", 5.0)
    made.endings.repeated(made.execution, "a3")
    made.executions.expire(6.0)
    made.endings.repeated(made.execution, "a4")
    messages, events = made.told()
    assert {message.header.node_id for message in messages} == {"box"}
    copies = [(message.route, message.header.outcome) for message in messages if message.route != "a1"]
    assert copies == [("a2", Outcome.CANCELLED), ("a3", Outcome.CANCELLED), ("a4", Outcome.FORGOTTEN)]
    assert len(events) == 1
