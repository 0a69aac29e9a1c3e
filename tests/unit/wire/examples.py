"""One message of every kind, one record and event of every sort, each optional field at a value of its own.

What the golden vectors, the fuzzing and the tests of dialects are made of.
"""

from typing import NamedTuple

from zmesh.wire.control import ControlReply, ControlRequest
from zmesh.wire.event import (
    Event,
    EventHead,
    LogEvent,
    MemberEvent,
    MemberView,
    ReplicaMark,
    ReplicaRequest,
    ReplicaSnapshot,
    ReplicaUpdate,
    RequestEvent,
    ServiceEvent,
    SocketEvent,
    encode_event,
)
from zmesh.wire.frame import Body, Header, encode
from zmesh.wire.kind import Kind, Topic
from zmesh.wire.membership import (
    Ack,
    Claim,
    Claims,
    Delta,
    Digest,
    Hello,
    HelloAnswer,
    Nack,
    Ping,
    PingReq,
    RecordKind,
    Records,
    Snapshot,
    SnapshotRequest,
    State,
    Verdict,
    Version,
    Versions,
)
from zmesh.wire.record import (
    Advertisement,
    Capabilities,
    Departure,
    Gpu,
    Load,
    Record,
    ServiceLoad,
    ServiceOffer,
    SignedRecord,
    encode_record,
)
from zmesh.wire.request import (
    Attached,
    Beat,
    Cancel,
    Chunk,
    Credit,
    GoAway,
    GoAwayAck,
    NotStarted,
    Outcome,
    Ready,
    Reason,
    Reply,
    Request,
    RequestId,
    Stop,
    Stopped,
)

INSTANCE = 0x8899_AABB_CCDD_EEFF
OTHER = 0x0102_0304_0506_0708
ID = RequestId(INSTANCE, 17)


class Message(NamedTuple):
    """A header with what is sent beside it."""

    kind: Kind
    header: Header
    body: bytes = b""
    topic: Topic = Topic.NONE

    def frames(self) -> list[Body]:
        return encode(self.header, self.body, self.topic)


RECORDS: dict[str, Record] = {
    "advertisement": Advertisement(
        node_id="gpu-1",
        instance=INSTANCE,
        incarnation=3,
        sequence=9,
        request_address="10.42.0.1:7400",
        gossip_address="10.42.0.1:7401",
        services=(ServiceOffer("vision-ocr", 2, 60_000, ("image/png", "image/jpeg"), "Reads text in pictures"),),
        capabilities=Capabilities(16, 64 << 30, (Gpu(0, "RTX 3090", 24 << 30, 20 << 30, 55),)),
        draining=True,
        version="0.1.0",
        http_port=8000,
        unready=("tts",),
    ),
    "advertisement-least": Advertisement("gpu-2", OTHER, 1, 1, "10.42.0.2:7400", "10.42.0.2:7401"),
    "load": Load(
        node_id="gpu-1",
        instance=INSTANCE,
        incarnation=3,
        sequence=41,
        services=(ServiceLoad("vision-ocr", 5, 2, 81_000),),
        cpu_percent=37,
        memory_percent=61,
        gpus=(Gpu(0, "RTX 3090", 24 << 30, 3 << 30, 98),),
    ),
    "departure": Departure("gpu-1", INSTANCE, 3, 10),
}

EVENTS: dict[str, Event] = {
    "member": MemberEvent(
        time_unix=1795500000.25,
        node_id="gpu-1",
        state="dead",
        incarnation=3,
        services=["vision-ocr"],
        reason="no answer to probes of 3 members",
    ),
    "service": ServiceEvent(time_unix=1795500000.5, service="vision-ocr", state="up", runners=2, detail="started"),
    "request": RequestEvent(
        time_unix=1795500001.0,
        request_id=str(ID),
        service="vision-ocr",
        outcome="raised",
        queue_ms=0.5,
        run_ms=80.25,
        detail="ValueError: not a picture",
    ),
    "socket": SocketEvent(time_unix=1795500002.0, socket="request", peer="10.42.0.2:7400", change="up"),
    "log": LogEvent(time_unix=1795500003.0, level="warning", message="queue full", fields={"service": "vision-ocr"}),
}

CLAIM = Claim("gpu-2", OTHER, 4, State.DEAD, "gpu-3", 1_500)
SIGNED = SignedRecord(encode_record(RECORDS["departure"]), b"\x5a" * 64, 1_250)
VIEW = MemberView(
    node_id="gpu-2",
    instance=OTHER,
    incarnation=4,
    state=State.SUSPECT,
    advertisement=encode_record(RECORDS["advertisement-least"]),
    load=encode_record(RECORDS["load"]),
    load_age_ms=700,
    rtt_us=412,
)

MESSAGES: dict[str, Message] = {
    "request": Message(
        Kind.REQUEST,
        Request(
            id=ID,
            target=OTHER,
            service="vision-ocr",
            remaining_ms=59_990,
            attempt=2,
            content_type="image/png",
            traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            idempotency_key="a-key",
            flags=1,
            method="POST",
            path="/v1/pages?lang=fr",
            headers=(("accept", "text/plain"), ("x-page", "é")),
        ),
        b"\x89PNG",
    ),
    "request-least": Message(Kind.REQUEST, Request(ID, OTHER, "word-count", 1_000)),
    "reply": Message(
        Kind.REPLY,
        Reply(
            id=ID,
            outcome=Outcome.RAISED,
            node_id="gpu-1",
            content_type="application/json",
            queue_us=500,
            run_us=80_250,
            error_type="ValueError",
            detail="not a picture",
        ),
        b'{"text": "zmesh"}',
    ),
    "reply-least": Message(Kind.REPLY, Reply(ID, Outcome.LOST)),
    "not-started": Message(Kind.NOT_STARTED, NotStarted(ID, Reason.DRAINING, "gpu-1", 250)),
    "beat": Message(Kind.BEAT, Beat("gpu-1", OTHER, (ID, RequestId(INSTANCE, 18)))),
    "goaway": Message(Kind.GOAWAY, GoAway("gpu-1", OTHER)),
    "goaway-ack": Message(Kind.GOAWAY_ACK, GoAwayAck(INSTANCE)),
    "cancel": Message(Kind.CANCEL, Cancel(ID)),
    "chunk": Message(Kind.CHUNK, Chunk(ID, 3, True), b"data: [DONE]\n\n"),
    "credit": Message(Kind.CREDIT, Credit(ID, 262_144)),
    "ready": Message(Kind.READY, Ready("vision-ocr", INSTANCE, 4, 4_242, OTHER, ("image/png",))),
    "attached": Message(Kind.ATTACHED, Attached("gpu-1", OTHER)),
    "stop": Message(Kind.STOP, Stop(5_000)),
    "stopped": Message(Kind.STOPPED, Stopped(INSTANCE, "device error")),
    "hello": Message(
        Kind.HELLO,
        Hello("gpu-1", INSTANCE, 3, "10.42.0.1:7400", "10.42.0.1:7401", bytes(range(32)), b"certificate"),
    ),
    "hello-answer": Message(
        Kind.HELLO_ANSWER,
        HelloAnswer(
            node_id="gpu-2",
            instance=OTHER,
            incarnation=4,
            request_address="10.42.0.2:7400",
            gossip_address="10.42.0.2:7401",
            verdict=Verdict.REFUSED,
            known_incarnation=2,
            nonce=bytes(range(32)),
            proof=b"\xa5" * 64,
            certificate=b"certificate",
            detail="certificate expired",
        ),
    ),
    "ping": Message(Kind.PING, Ping("gpu-1", INSTANCE, 77, "gpu-2", OTHER, (CLAIM,))),
    "ack": Message(Kind.ACK, Ack("gpu-2", OTHER, 4, 77, (CLAIM,))),
    "ping-req": Message(Kind.PING_REQ, PingReq("gpu-1", INSTANCE, 78, "gpu-2", OTHER, "10.42.0.2:7400")),
    "nack": Message(Kind.NACK, Nack("gpu-3", OTHER, 78, "gpu-2")),
    "claims": Message(Kind.CLAIMS, Claims("gpu-1", INSTANCE, (CLAIM,)), topic=Topic.GOSSIP),
    "records": Message(Kind.RECORDS, Records("gpu-1", INSTANCE, (SIGNED,)), topic=Topic.GOSSIP),
    "digest": Message(Kind.DIGEST, Digest("gpu-1", INSTANCE, (0, 1, 2**64 - 1))),
    "versions": Message(
        Kind.VERSIONS,
        Versions("gpu-2", OTHER, (0, 2), (Version("gpu-3", RecordKind.LOAD, OTHER, 1, 12),), (CLAIM,)),
    ),
    "delta": Message(Kind.DELTA, Delta("gpu-1", INSTANCE, (SIGNED,), (CLAIM,), (("gpu-3", RecordKind.ADVERTISEMENT),))),
    "snapshot-request": Message(Kind.SNAPSHOT_REQUEST, SnapshotRequest("gpu-1", INSTANCE, 2, "gpu-3")),
    "snapshot": Message(Kind.SNAPSHOT, Snapshot("gpu-2", OTHER, 2, "gpu-3", False, (SIGNED,), (CLAIM,), True)),
    "replica-update": Message(
        Kind.REPLICA_UPDATE, ReplicaUpdate("gpu-1", INSTANCE, 5, (VIEW,), ("gpu-9",), True), topic=Topic.REPLICA
    ),
    "replica-mark": Message(Kind.REPLICA_MARK, ReplicaMark("gpu-1", INSTANCE, 5), topic=Topic.REPLICA),
    "replica-request": Message(Kind.REPLICA_REQUEST, ReplicaRequest(OTHER, "gpu-2")),
    "replica-snapshot": Message(
        Kind.REPLICA_SNAPSHOT, ReplicaSnapshot("gpu-1", INSTANCE, 5, "gpu-2", True, True, 12_345, (VIEW,))
    ),
    "event": Message(Kind.EVENT, EventHead("gpu-1", INSTANCE, 6), encode_event(EVENTS["member"]), Topic.MEMBER),
    "control-request": Message(Kind.CONTROL_REQUEST, ControlRequest(1, "members"), b"{}"),
    "control-reply": Message(Kind.CONTROL_REPLY, ControlReply(1, False, "no such verb"), b"{}"),
}
