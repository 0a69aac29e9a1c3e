"""Every bound and interval of the machines and the wire, with its unit and why it has its default.

The structs are handed to the machines, so a test or the simulator may tighten any of them.
"""

from __future__ import annotations

from msgspec import Struct

KIB = 1024
MIB = 1024 * KIB


class WireLimits(Struct, frozen=True, kw_only=True):
    """Bounds on one message; sender and receiver hold the same ones, so a legal sender is never refused."""

    header_bytes_max: int = 256 * KIB
    """A header is small (a REQUEST about 150 B); the largest are a delta and a snapshot part of membership."""

    inline_body_bytes_max: int = 64 * KIB
    """A body above this travels as a second frame and is never copied; below, one frame costs a third of two."""

    body_bytes_max: int = 64 * MIB
    """The largest request or reply body; also what the gateway enforces while it reads from HTTP."""

    record_bytes_max: int = 60 * KIB
    """One advertisement, load report or departure: several fit a header, so every sync message can carry any record."""

    lobby_bytes_max: int = 4 * KIB
    """Strangers speak here: a HELLO with its certificate fits, nothing larger is read."""


class MembershipLimits(Struct, frozen=True, kw_only=True):
    """SWIM with Lifeguard, table and gossip. Times in seconds unless the name says otherwise."""

    probe_interval_s: float = 0.5
    """One member is probed each interval; a death is first noticed after about one interval, whatever the size."""

    probe_timeout_s: float = 0.3
    """How long a direct probe may take, connecting included, before others are asked to try."""

    indirect_probes: int = 3
    """How many others are asked: at 5 % loss three paths miss a living member once in about 10,000 rounds."""

    suspicion_mult: float = 3.0
    """Shortest suspicion = mult * max(1, log10(members)) * probe interval: time for the accused to refute."""

    suspicion_max_mult: float = 4.0
    """Longest suspicion = this times the shortest; each independent accuser shortens it (Lifeguard)."""

    suspicion_accusers: int = 3
    """So many independent accusers after the first bring a suspicion down to its shortest; fewer in a small mesh."""

    stall_s: float = 1.0
    """A timer that comes later than this was held up together with the whole process (frozen, swapped out): the
    process doubts itself, and not those whose answers it had no chance to read."""

    probes_in_flight_max: int = 16
    """Probe rounds that run at once; rounds overlap because a round with helpers outlasts the interval."""

    relayed_probes_max: int = 256
    """Probes under way for others; above it a PING_REQ is not served and the asker lacks a NACK."""

    rtt_ewma_weight: float = 0.2
    """Weight of the newest round trip in a member's average: about the last ten probes count."""

    health_max: int = 8
    """Ceiling of Lifeguard's local health score: a slow observer stretches its own time-outs by up to this factor."""

    claim_transmits_mult: int = 4
    """A claim is repeated mult * log10(members + 1) times, rounded up, then rests; sync repairs what was missed."""

    claims_per_message_max: int = 8
    """Claims that ride on a probe: keeps a PING within one packet."""

    claims_queue_max: int = 1_024
    """Claims waiting to ride on probes; the one that has ridden most goes first. 100 bytes each."""

    gossip_interval_s: float = 0.2
    """Pace of publishing: sends happen at the node's own pace, not as reactions to what it hears."""

    sync_interval_s: float = 3.0
    """Mean time between digest exchanges with one random peer; PUB/SUB loses by nature, this repairs."""

    sync_buckets: int = 64
    """Digests compare this many hash buckets; at 1,000 members a changed one costs about 16 versions to name."""

    sync_after_meeting_s: float = 0.5
    """A member newly subscribed to is compared with after this: longer than a subscription takes to reach it, so what
    it published meanwhile is not missed for a whole sync interval."""

    sync_versions_max: int = 1_500
    sync_claims_max: int = 384
    """Versions, and claims, in one message of a sync: at 100 to 160 bytes each they fit a header together; what is left
    over waits for the next exchange."""

    delta_records_max: int = 256
    delta_bytes_max: int = 160 * KIB
    """Records, and their bytes, in one delta, snapshot part or publication; with claims they still fit a header."""

    snapshot_retry_s: float = 0.5
    """A joiner that has heard nothing of its snapshot for so long asks again, another member if there is one."""

    join_timeout_s: float = 2.0
    """A node whose seeds have not answered for so long calls itself alone and goes on: four fast HELLOs. A restarted
    node without seeds waits as long: others who remember it find it within two probe intervals."""

    load_interval_min_s: float = 1.0
    """Load is published at most every max(this, members / 50) seconds, and only when it changed materially or is half
    as old as it may get."""

    load_age_max_s: float = 180.0
    """A load report older than this, holding times of all hops included, is dropped."""

    memory_of_dead_s: float = 360.0
    """Departures and deaths are remembered this long: longer than any late message can live."""

    departure_repeats: int = 3
    """A departure is published so many times, one gossip interval apart: at 5 % loss one in 8,000 is missed."""

    departure_peers_max: int = 16
    """A departure also goes straight to so many members, over connections that do not lose."""

    hello_interval_fast_s: float = 0.5
    hello_interval_slow_s: float = 5.0
    hello_fast_count: int = 120
    """HELLO to each seed that is not alive: the fast pace for the first so many (a minute: a reboot of the seed's box),
    then the slow one for ever."""

    knock_interval_s: float = 2.0
    """While any are remembered, one dead or departed member is knocked at each such interval: how fast the parts of a
    divided mesh find each other, and a node that came back while its seeds were away is found."""

    full_mesh_max: int = 16
    """Up to so many members everyone subscribes to everyone and nobody relays."""

    full_mesh_return: int = 12
    """Back to the full mesh below this: the gap keeps a mesh at the edge from flapping."""

    overlay_degree: int = 6
    """Peers each node subscribes to above the full mesh: redundant enough that one death cuts nobody off."""

    overlay_ring: int = 2
    """So many of them are the next on a hash ring, which alone connects everybody; the rest are as good as random and
    keep the mesh a few hops wide."""

    members_max: int = 20_000
    """Bound of the table; a newcomer above it is refused and logged."""

    contests_max: int = 64
    """Ids whose old instance is being probed because a new one has come; above it the newcomer is told to come back."""

    hellos_per_second_max: int = 50
    """Lobby rate over all strangers: a signature costs 40 us, so a flood takes 0.2 % of a core."""

    replica_mark_interval_s: float = 1.0
    """The node repeats its replica sequence this often: the longest a gateway can miss a lost last update."""

    replica_request_interval_s: float = 0.5
    """A gateway repeats an unanswered request for a snapshot part after this."""

    replica_part_bytes_max: int = 128 * KIB
    """Records in one replica update or snapshot part; with one more member's two records it still fits a header."""


class HttpLimits(Struct, frozen=True, kw_only=True):
    """The gateway's HTTP side: connections that take their time, and how a worker goes."""

    header_timeout_s: float = 10.0
    """A connection without a whole request head for so long is closed; keep-alive pauses have their own bound."""

    head_bytes_max: int = 65_536
    """A request's target and headers: a head costs the whole worker the time to read it. Above it 431."""

    headers_max: int = 128
    """Headers of one request, likewise."""

    keep_alive_s: int = 75
    """An idle connection is kept so long: longer than proxies and client pools keep theirs."""

    idle_grace_s: float = 0.5
    """A stopping worker leaves idle connections so long, answering ``Connection: close``, so that a request already
    on its way is not lost; without it 13 to 22 of 13,000 requests failed at a restart under load."""

    quit_grace_s: float = 1.0
    """After Ctrl-C, requests under way may take so long."""

    last_answer_s: float = 0.25
    """A stopped worker so gives those still waiting the time to hear that the outcome is unknown."""

    kill_margin_s: float = 1.0
    """A worker that has not ended so long after all that is killed by its master."""

    stop_poll_s: float = 0.02
    """A stopping worker looks so often whether the last connection has closed."""

    backlog: int = 2_048
    """Connections that the kernel holds until a worker accepts them."""

    connections_max: int = 4_096
    """Connections of one worker; above it new ones are closed at once. An idle one costs about 10 KiB."""

    node_silence_s: float = 3.0
    """No word from the own node, which speaks every second, for so long: health is degraded."""

    table_wait_s: float = 2.0
    """A new worker waits so long for the table before it takes its first request, so that a restart answers no 503."""

    figures_timeout_s: float = 1.0
    """``/metrics`` waits so long for the node's own figures, then goes without."""

    figures_pending_max: int = 64
    """Questions to the node for its figures, from as many scrapes at once."""

    services_counted_max: int = 1_024
    """Services with counters of their own; the rest are counted together, so that names cannot fill memory."""


class RoutingLimits(Struct, frozen=True, kw_only=True):
    """The asker's side: fingers, retries, paths."""

    finger_ttl_s: float = 60.0
    """How long a ranked set of nodes is trusted before the table is asked again; 0 asks every time."""

    finger_services_max: int = 1_024
    """Services cached; the one idle longest goes first."""

    candidates_per_finger_max: int = 32
    """Nodes kept per service: power of two choices needs two good ones, not all of a thousand."""

    latency_ewma_weight: float = 0.2
    """Weight of the newest answer in a node's latency average: about the last ten answers count."""

    attempts_max: int = 4
    """Hand-overs tried for one request, all of them proven not started."""

    retry_share: float = 0.2
    retry_floor_per_s: float = 10.0
    """Retry budget: at most this share of requests plus so many a second, so retries never multiply an outage."""

    retry_burst: float = 100.0
    """Retries the budget may save up: a dying node refuses what was on its way to it all at once."""

    failure_half_life_s: float = 5.0
    """A failed request counts as still in its node's hands and fades at this pace, so failing fast never looks idle."""

    in_flight_max: int = 10_000
    """Requests one gateway keeps under way; above it new ones are answered 503 at once."""

    silence_ms_max: int = 600
    """No REPLY and no BEAT for so long makes the path suspect: 2.4 beats, more than one may be lost."""

    path_suspect_s: float = 5.0
    """How long a suspect path ranks last after its last bad sign, unless a probe clears it earlier."""

    timeout_default_s: float = 60.0
    """Deadline of a request whose client and service name none."""

    timeout_max_s: float = 3_600.0
    """Longest deadline a client may ask for."""

    connect_timeout_s: float = 1.0
    """A request waits so long for a connection to come up before its send counts as refused."""

    peers_max: int = 128
    """DEALERs kept open; the one idle longest is closed first."""

    peer_idle_s: float = 60.0
    """A DEALER without traffic is closed after this."""


class DispatchLimits(Struct, frozen=True, kw_only=True):
    """The doer's side: queues, ids seen, liveness of askers and runners."""

    queue_length_max: int = 64
    """Requests waiting per service; above it BUSY, so that a queue never outlives its deadlines."""

    queue_bytes_max: int = 256 * MIB
    """Bytes of waiting bodies over all services."""

    executions_max: int = 65_536
    """Request ids remembered, running and finished; enough for 500 requests/s over the memory time."""

    execution_memory_s: float = 120.0
    """How long a finished id is remembered; an id that may be older is refused as unknown, never run again."""

    result_bytes_max: int = 64 * MIB
    """Bytes of finished results kept so that the same request over the other path can attach."""

    result_memory_s: float = 5.0
    """How long a finished result is kept: longer than a path takes to be found broken."""

    beat_interval_s: float = 0.25
    """While work of an asker is unfinished it hears a BEAT this often."""

    asker_grace_s: float = 1.0
    """Work whose asker is unroutable is cancelled after this if the asker may connect again, else at once."""

    asker_routes_max: int = 16_384
    """Connections of askers kept in mind; four gateways of 4,000 boxes. Above it new ones are answered BUSY."""

    asker_route_idle_s: float = 120.0
    """A connection without work is out of mind after this: an asker closes its idle ones in half the time."""

    asker_horizons_max: int = 65_536
    """Askers of which it is known how far their ids have been forgotten; about 10 MiB. An asker is one process."""

    asker_horizon_s: float = 3_600.0
    """How long that is known after the last id was forgotten: no request may ask for a longer deadline."""

    runner_return_s: float = 3.0
    """Work waits so long for a service whose last runner went (a restart takes less), then it is answered BUSY."""

    run_ewma_weight: float = 0.2
    """Weight of the newest run in a service's average run time: about the last ten runs count."""

    retry_after_ms_max: int = 60_000
    """Longest advice when to come back; a queue's rate measured now says nothing about later."""

    runners_max: int = 1_024
    """Slot-holding connections on runner.ipc."""

    slots_per_runner_max: int = 1_024
    """Slots one connection may offer."""

    ready_silence_s: float = 10.0
    """A runner idle and silent for so long (READY repeats every second) is taken for gone."""

    drain_goaway_s: float = 2.0
    """A draining node waits so long for every peer's GOAWAY_ACK before it goes on."""

    drain_finish_s: float = 30.0
    """A draining node lets running work finish for so long."""


class RunnerLimits(Struct, frozen=True, kw_only=True):
    """A runner process: what it says when, and what it waits for."""

    ready_interval_s: float = 1.0
    """An idle runner repeats READY so often; a restarted node has its runners back after about so long."""

    send_timeout_s: float = 5.0
    """An answer waits so long for a node that does not read; a request of a node that is gone is gone with it."""

    device_exit_s: float = 2.0
    """After a fatal device error other requests in hand have so long to end: calls into that device may hang."""


class NetLimits(Struct, frozen=True, kw_only=True):
    """ZeroMQ sockets: queues, waits and rates of all that ``net/`` opens. Units in the names."""

    sockets_max: int = 8_192
    """Sockets of one context: libzmq's own 1,023 would end at 300 connections, each with its monitor."""

    high_water_messages: int = 256
    """Messages libzmq holds per peer and direction. Few: what waits beyond is held here, where bytes are counted."""

    publish_high_water_messages: int = 4_096
    """The same for PUB and SUB, whose messages are small and are lost above it; gaps are repaired by sync."""

    subscriptions_max: int = 256
    """Different subscriptions a publisher keeps account of; with more it takes everything for wanted."""

    subscription_bytes_max: int = 256
    """The longest message a publisher reads: a subscription, of three bytes. libzmq keeps one in about 55 times its
    length, so two of 30 MiB took a node 3.6 GiB and were never given back; a longer one costs its connection."""

    waiting_messages_max: int = 8_192
    """Messages held per peer after libzmq's queue is full; above it a send is refused to the caller."""

    waiting_bytes_max: int = 256 * MIB
    """Bytes of them per peer: four of the largest bodies. One message is always taken, whatever its size."""

    waiting_retry_min_ms: int = 1
    waiting_retry_max_ms: int = 20
    """A ROUTER does not tell which full peer has room again, so each is asked, less often while it has none."""

    burst_messages_max: int = 256
    """Messages taken from one socket before the loop serves the others: about 1 ms of work."""

    burst_s_max: float = 0.01
    """The same in time, where messages are not of the usual kind: one that has a whole table compared takes long."""

    copy_bytes_min: int = MIB
    """Fresh bytes from this size are lent to libzmq, not copied: below, the bookkeeping costs more than the copy."""

    linger_ms: int = 200
    """A closing socket tries so long to send what it holds: enough for a living peer, and bounds a stop."""

    handshake_ms: int = 3_000
    """A connection that has not introduced itself by then is cut; libzmq's own 30 s serve a slow attacker."""

    connect_ms: int = 1_000
    """One attempt of a TCP connection; the kernel's own two minutes would outlast every deadline."""

    reconnect_min_ms: int = 50
    reconnect_max_ms: int = 1_000
    """Pause before the next attempt, doubled each time: a restarted peer is found again within about a second."""

    keepalive_idle_s: int = 5
    keepalive_interval_s: int = 2
    keepalive_count: int = 3
    """A TCP connection whose other end is gone without a word is noticed after about 11 s, also when idle."""

    unacknowledged_ms_max: int = 10_000
    """A TCP connection whose data nobody acknowledges for so long is cut."""

    heartbeat_misses: int = 3
    """Where heartbeats are on, so many intervals without one cut the connection, on both sides."""

    evict_idle_s: float = 2.0
    """A full set of links closes one idle for so long; a busy one hears a BEAT every 0.25 s and is left alone."""

    senders_logged_max: int = 256
    """Senders of illegal messages that get a log line of their own, once; all are counted."""

    routes_max: int = 4_096
    """Routes remembered per ROUTER to spare their making anew; the cache is emptied when full."""
