"""XPUB and SUB: topics, many publishers, and counted losses."""

import zmq

from tests.polling import wait_until_async
from tests.unit.net.loops import ANYWHERE, SOON_S, closing_context, run
from zmesh.config.limits import NetLimits
from zmesh.net.pubsub import SubSocket, XPubSocket
from zmesh.wire import Kind, Topic, dialect, encode, subscription
from zmesh.wire.event import EventHead, ReplicaMark


def mark(sequence):
    return ReplicaMark(node_id="a", instance=1, sequence=sequence)


def event(sequence):
    return EventHead(node_id="a", instance=1, sequence=sequence)


def test_a_subscriber_hears_its_topics_from_every_publisher(new_loop):
    async def test():
        with closing_context() as context:
            publishers = [XPubSocket(context, f"pub{i}") for i in range(3)]
            endpoints = [publisher.bind(ANYWHERE) for publisher in publishers]
            heard = []
            subscriber = SubSocket(context, "sub", dialect.EVENTS, lambda header, body: heard.append((header, body)))
            subscriber.subscribe(Kind.REPLICA_MARK, Topic.REPLICA)
            subscriber.subscribe(Kind.EVENT, Topic.SERVICE)
            for endpoint in endpoints:
                subscriber.connect(endpoint)
                subscriber.connect(endpoint)
            assert subscriber.endpoints == set(endpoints)
            await wait_until_async(lambda: _all_heard(publishers, heard), SOON_S)
            # Another kind and another topic are not asked for.
            publishers[0].publish(event(99), b"x", Topic.MEMBER)
            publishers[0].publish(mark(98), topic=Topic.GOSSIP)

            def event_heard():
                publishers[0].publish(event(97), b"b" * 60_000, Topic.SERVICE)
                return heard[-1][0].sequence == 97

            await wait_until_async(event_heard, SOON_S)
            assert len(heard[-1][1]) == 60_000
            assert {header.sequence for header, _ in heard} == {0, 1, 2, 97}
            subscriber.close()
            for publisher in publishers:
                publisher.close()

    run(new_loop, test())


def _all_heard(publishers, heard):
    for number, publisher in enumerate(publishers):
        publisher.publish(mark(number), topic=Topic.REPLICA)
    return {header.sequence for header, _ in heard} == set(range(len(publishers)))


def test_a_publisher_that_was_left_is_not_heard(new_loop):
    async def test():
        with closing_context() as context:
            publishers = [XPubSocket(context, f"pub{i}") for i in range(2)]
            endpoints = [publisher.bind(ANYWHERE) for publisher in publishers]
            heard = []
            subscriber = SubSocket(context, "sub", dialect.EVENTS, lambda header, _body: heard.append(header.sequence))
            subscriber.subscribe(Kind.REPLICA_MARK, Topic.REPLICA)
            for endpoint in endpoints:
                subscriber.connect(endpoint)

            def both():
                for number, publisher in enumerate(publishers):
                    publisher.publish(mark(number), topic=Topic.REPLICA)
                return set(heard) == {0, 1}

            await wait_until_async(both, SOON_S)
            subscriber.disconnect(endpoints[0])
            subscriber.disconnect(endpoints[0])
            assert subscriber.endpoints == {endpoints[1]}

            heard.clear()
            for number, publisher in enumerate(publishers):
                publisher.publish(mark(number + 10), topic=Topic.REPLICA)
            await wait_until_async(lambda: 11 in heard, SOON_S)
            assert 10 not in heard
            subscriber.close()
            for publisher in publishers:
                publisher.close()

    run(new_loop, test())


def test_a_stalled_subscriber_is_counted_and_others_hear_everything(new_loop):
    async def test():
        with closing_context() as context:
            publisher = XPubSocket(context, "pub", limits=NetLimits(publish_high_water_messages=10))
            endpoint = publisher.bind(ANYWHERE)
            stalled = context.socket(zmq.SUB)
            stalled.linger = 0
            stalled.rcvhwm = 10
            stalled.subscribe(subscription(Kind.EVENT, Topic.MEMBER))
            stalled.connect(endpoint)
            heard = []
            subscriber = SubSocket(context, "sub", dialect.EVENTS, lambda header, _body: heard.append(header.sequence))
            subscriber.subscribe(Kind.EVENT, Topic.MEMBER)
            subscriber.connect(endpoint)

            def both_subscribed():
                publisher.publish(event(0), topic=Topic.MEMBER)
                return heard and stalled.get(zmq.EVENTS) & zmq.POLLIN

            await wait_until_async(both_subscribed, SOON_S)
            sent = 0

            def overflown():
                nonlocal sent
                sent += 1
                publisher.publish(event(sent), b"x" * 60_000, Topic.MEMBER)
                return publisher.overflows

            await wait_until_async(overflown, SOON_S, interval_s=0.001)
            assert publisher.overflows == 1
            publisher.publish(event(sent + 1), topic=Topic.MEMBER)
            sent += 1
            await wait_until_async(lambda: heard[-1] == sent, SOON_S)
            assert set(heard) == set(range(sent + 1))
            stalled.close()
            subscriber.close()
            publisher.close()

    run(new_loop, test())


def test_illegal_messages_are_counted_on_both_sides(new_loop):
    async def test():
        with closing_context() as context:
            publisher = XPubSocket(context, "pub")
            endpoint = publisher.bind(ANYWHERE)
            heard = []
            subscriber = SubSocket(context, "sub", dialect.EVENTS, lambda header, _body: heard.append(header))
            subscriber.subscribe(Kind.REPLICA_MARK, Topic.REPLICA)
            subscriber.connect(endpoint)

            def arrived():
                publisher.publish(mark(0), topic=Topic.REPLICA)
                return heard

            await wait_until_async(arrived, SOON_S)
            publisher._socket.send(encode(mark(1), topic=Topic.REPLICA)[0][:6])
            await wait_until_async(lambda: subscriber.rejected == 1, SOON_S)
            talker = context.socket(zmq.XSUB)
            talker.linger = 0
            talker.connect(endpoint)
            talker.send_multipart([b"hello", b"you"])
            await wait_until_async(lambda: publisher.rejected, SOON_S)
            talker.close()
            subscriber.close()
            publisher.close()
            publisher.publish(mark(1))

    run(new_loop, test())


def test_who_sends_an_endless_subscription_is_cut_off(new_loop):
    async def test():
        with closing_context() as context:
            publisher = XPubSocket(context, "pub")
            talker = context.socket(zmq.XSUB)
            talker.linger = 0
            cut = talker.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            talker.connect(publisher.bind(ANYWHERE))
            talker.send(b"\1" + b"x" * NetLimits().subscription_bytes_max)
            await wait_until_async(lambda: cut.poll(0), SOON_S)
            talker.disable_monitor()
            talker.close()
            publisher.close()

    run(new_loop, test())


def test_a_callback_that_raises_is_logged_and_one_that_closes_ends_it(new_loop, caplog):
    async def test():
        with closing_context() as context:
            publisher = XPubSocket(context, "pub")
            heard = []

            def on_message(header, _body):
                heard.append(header)
                if len(heard) > 1:
                    subscriber.close()
                raise ZeroDivisionError("of the callback")

            subscriber = SubSocket(context, "sub", dialect.EVENTS, on_message)
            subscriber.subscribe(Kind.REPLICA_MARK, Topic.REPLICA)
            subscriber.connect(publisher.bind(ANYWHERE))

            def closed():
                publisher.publish(mark(1), topic=Topic.REPLICA)
                return subscriber.closed

            await wait_until_async(closed, SOON_S)
            publisher.close()

    run(new_loop, test())
    assert "sub: a callback failed" in caplog.text


def test_a_publisher_knows_what_anybody_wants(new_loop):
    async def test():
        with closing_context() as context:
            publisher = XPubSocket(context, "pub")
            endpoint = publisher.bind(ANYWHERE)
            assert not publisher.wanted(Kind.EVENT, Topic.REQUEST)
            one = context.socket(zmq.SUB)
            one.connect(endpoint)
            one.subscribe(subscription(Kind.EVENT, Topic.REQUEST))
            await wait_until_async(lambda: publisher.wanted(Kind.EVENT, Topic.REQUEST), SOON_S)
            assert not publisher.wanted(Kind.EVENT, Topic.MEMBER)
            everything = context.socket(zmq.SUB)
            everything.connect(endpoint)
            everything.subscribe(b"")
            await wait_until_async(lambda: publisher.wanted(Kind.EVENT, Topic.MEMBER), SOON_S)
            everything.close(0)
            await wait_until_async(lambda: not publisher.wanted(Kind.EVENT, Topic.MEMBER), SOON_S)
            assert publisher.wanted(Kind.EVENT, Topic.REQUEST)
            one.close(0)
            await wait_until_async(lambda: not publisher.wanted(Kind.EVENT, Topic.REQUEST), SOON_S)
            publisher.close()

    run(new_loop, test())


def test_with_too_many_subscriptions_everything_is_wanted(new_loop):
    async def test():
        with closing_context() as context:
            publisher = XPubSocket(context, "pub", limits=NetLimits(subscriptions_max=2))
            endpoint = publisher.bind(ANYWHERE)
            one = context.socket(zmq.SUB)
            one.connect(endpoint)
            for topic in (Topic.MEMBER, Topic.SERVICE, Topic.LOG):
                one.subscribe(subscription(Kind.EVENT, topic))
            await wait_until_async(lambda: publisher.wanted(Kind.EVENT, Topic.REQUEST), SOON_S)
            one.close(0)
            publisher.close()

    run(new_loop, test())
