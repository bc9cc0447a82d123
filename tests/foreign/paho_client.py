"""paho-mqtt against the broker: every QoS, wildcards, sessions that wait, what MQTT 5 added.

    python paho_client.py HOST PORT CA 3.1.1|5

Ends with 0, or with 1 after a sentence that says what went wrong.
"""

import queue
import sys

try:
    import paho.mqtt.client as mqtt
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties
    from paho.mqtt.subscribeoptions import SubscribeOptions
except ImportError as error:
    sys.exit(f"{error}: this Python has no paho-mqtt; 'make test' gets one that has")

DEADLINE = 20
HOST, PORT, CA, VERSION = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
IS_V5 = VERSION == "5"


def check(is_right, sentence):
    if not is_right:
        sys.exit(f"paho-mqtt {VERSION}: {sentence}")


class Client:
    """One connection; what happens on it waits in queues."""

    def __init__(self, name, persistent=False, will=None):
        self.connects, self.messages, self.acks = queue.Queue(), queue.Queue(), queue.Queue()
        self.ends = queue.Queue()
        protocol = mqtt.MQTTv5 if IS_V5 else mqtt.MQTTv311
        clean = {} if IS_V5 else {"clean_session": not persistent}
        self.mqtt = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, f"paho-{VERSION}-{name}", protocol=protocol, **clean
        )
        self.mqtt.tls_set(CA)
        if will:
            self.mqtt.will_set(*will)
        self.mqtt.on_connect = lambda _c, _u, flags, code, _p: self.connects.put((flags, code))
        self.mqtt.on_message = lambda _c, _u, message: self.messages.put(message)
        self.mqtt.on_subscribe = lambda _c, _u, _mid, codes, _p: self.acks.put(codes)
        self.mqtt.on_unsubscribe = lambda _c, _u, _mid, codes, _p: self.acks.put(codes)
        self.mqtt.on_disconnect = lambda _c, _u, _flags, code, _p: self.ends.put(code)
        options = {}
        if IS_V5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 3600 if persistent else 0
            options = {"clean_start": not persistent, "properties": properties}
        self.mqtt.connect(HOST, PORT, 60, **options)
        self.mqtt.loop_start()
        flags, code = self.wait(self.connects, "CONNACK")
        check(code == 0, f"connection of {name} refused: {code}")
        self.session_present = flags.session_present

    def wait(self, events, what):
        try:
            return events.get(timeout=DEADLINE)
        except queue.Empty:
            check(False, f"no {what} within {DEADLINE} s")

    def subscribe(self, topic, qos, **options):
        if options:
            self.mqtt.subscribe(topic, options=SubscribeOptions(qos, **options))
        else:
            self.mqtt.subscribe(topic, qos)
        codes = self.wait(self.acks, "SUBACK")
        check([code.value for code in codes] == [qos], f"SUBACK for {topic}: {codes}")

    def unsubscribe(self, topic):
        self.mqtt.unsubscribe(topic)
        self.wait(self.acks, "UNSUBACK")

    def publish(self, topic, payload, qos, retain=False, properties=None):
        sent = self.mqtt.publish(topic, payload, qos, retain, properties)
        sent.wait_for_publish(DEADLINE)
        check(sent.is_published(), f"{topic} with QoS {qos} is not acknowledged")

    def take(self):
        return self.wait(self.messages, "message")

    def expect(self, topic, payload, qos, retain=False):
        got = self.take()
        got = (got.topic, got.payload.decode(), got.qos, got.retain)
        expected = (topic, payload, qos, retain)
        check(got == expected, f"{got} came instead of {expected}")

    def disconnect(self):
        self.mqtt.disconnect()
        self.wait(self.ends, "end of the connection")
        self.mqtt.loop_stop()


def every_qos(prefix):
    publisher, subscriber = Client("publisher"), Client("subscriber")
    for granted in range(3):
        subscriber.subscribe(f"{prefix}/+/qos/#", granted)
        for published in range(3):
            publisher.publish(f"{prefix}/a/qos/{granted}", "x", published)
            subscriber.expect(f"{prefix}/a/qos/{granted}", "x", min(granted, published))
    subscriber.unsubscribe(f"{prefix}/+/qos/#")
    publisher.publish(f"{prefix}/kept", "retained", 1, retain=True)
    subscriber.subscribe(f"{prefix}/+", 1)
    subscriber.expect(f"{prefix}/kept", "retained", 1, retain=True)
    if IS_V5:
        properties = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = [("z", "1"), ("a", "2"), ("z", "3")]
        properties.ContentType, properties.CorrelationData = "text/plain", b"\x00\xff"
        publisher.publish(f"{prefix}/properties", "x", 2, properties=properties)
        got = subscriber.take().properties
        check(got.UserProperty == properties.UserProperty, f"User Properties: {got.UserProperty}")
        check(got.CorrelationData == b"\x00\xff", f"Correlation Data: {got.CorrelationData}")
        subscriber.subscribe(f"{prefix}/local", 1, noLocal=True, retainAsPublished=True)
        # The other filter matches, too, and has no No Local.
        subscriber.unsubscribe(f"{prefix}/+")
        subscriber.publish(f"{prefix}/local", "mine", 1)
        publisher.publish(f"{prefix}/local", "other's", 1, retain=True)
        subscriber.expect(f"{prefix}/local", "other's", 1, retain=True)
    large = "x" * 200_000
    subscriber.subscribe(f"{prefix}/large", 2)
    publisher.publish(f"{prefix}/large", large, 2)
    check(subscriber.take().payload.decode() == large, "a large message came changed")
    publisher.disconnect()
    subscriber.disconnect()


def a_session_that_waits(prefix):
    sleeper = Client("sleeper", persistent=True)
    check(not sleeper.session_present, "a session is present at the first connection")
    sleeper.subscribe(f"{prefix}/#", 2)
    sleeper.disconnect()
    publisher = Client("publisher")
    for number in range(50):
        publisher.publish(f"{prefix}/{1 + number % 2}", str(number), 1 + number % 2)
    sleeper = Client("sleeper", persistent=True)
    check(sleeper.session_present, "no session is present when the client comes back")
    got = {1: [], 2: []}
    for _ in range(50):
        message = sleeper.take()
        got[message.qos].append(int(message.payload))
    check(got == {1: list(range(0, 50, 2)), 2: list(range(1, 50, 2))}, f"missed messages: {got}")
    publisher.publish(f"{prefix}/1", "live", 1)
    sleeper.expect(f"{prefix}/1", "live", 1)
    sleeper.disconnect()
    publisher.disconnect()


def a_will(prefix):
    watcher = Client("watcher")
    watcher.subscribe(f"{prefix}/will", 1)
    mortal = Client("mortal", will=(f"{prefix}/will", "gone", 1, False))
    mortal.mqtt.socket().close()
    watcher.expect(f"{prefix}/will", "gone", 1)
    watcher.disconnect()


def features_of_mqtt_5(prefix):
    asker, service = Client("asker"), Client("service", persistent=True)
    # A request with its answer; the service finds it by Subscription Identifier.
    options = Properties(PacketTypes.SUBSCRIBE)
    options.SubscriptionIdentifier = 7
    service.mqtt.subscribe(f"{prefix}/ask", options=SubscribeOptions(1), properties=options)
    service.wait(service.acks, "SUBACK")
    asker.subscribe(f"{prefix}/answers/#", 1)
    request = Properties(PacketTypes.PUBLISH)
    request.ResponseTopic, request.CorrelationData = f"{prefix}/answers/1", b"42"
    request.MessageExpiryInterval, request.PayloadFormatIndicator = 100, 1
    asker.publish(f"{prefix}/ask", "what?", 1, properties=request)
    asked = service.take().properties
    check(asked.SubscriptionIdentifier == [7], f"Subscription Identifier: {asked}")
    check(asked.ResponseTopic == f"{prefix}/answers/1", f"Response Topic: {asked}")
    check(99 <= asked.MessageExpiryInterval <= 100, f"Message Expiry Interval: {asked}")
    check(asked.PayloadFormatIndicator == 1, f"Payload Format Indicator: {asked}")
    answer = Properties(PacketTypes.PUBLISH)
    answer.CorrelationData = asked.CorrelationData
    service.publish(asked.ResponseTopic, "that", 1, properties=answer)
    check(asker.take().properties.CorrelationData == b"42", "Correlation Data changed")
    # Topic Aliases to the broker: set, then used.
    alias = Properties(PacketTypes.PUBLISH)
    alias.TopicAlias = 1
    asker.publish(f"{prefix}/ask", "sets", 1, properties=alias)
    service.expect(f"{prefix}/ask", "sets", 1)
    # A group of two: each message to one of them.
    other = Client("other")
    for member in (service, other):
        member.subscribe(f"$share/group/{prefix}/work", 1)
    for number in range(10):
        asker.publish(f"{prefix}/work", str(number), 1)
    got = sorted(int(member.take().payload) for member in (service, other) for _ in range(5))
    check(got == list(range(10)), f"a group got {got}")
    # Retain Handling 2: nothing at SUBSCRIBE.
    asker.publish(f"{prefix}/kept", "retained", 1, retain=True)
    other.subscribe(f"{prefix}/kept", 1, retainHandling=2)
    asker.publish(f"{prefix}/kept", "live", 1)
    other.expect(f"{prefix}/kept", "live", 1)
    # The session ends with DISCONNECT that says so.
    leave = Properties(PacketTypes.DISCONNECT)
    leave.SessionExpiryInterval = 0
    service.mqtt.disconnect(properties=leave)
    service.wait(service.ends, "end of the connection")
    service.mqtt.loop_stop()
    service = Client("service", persistent=True)
    check(not service.session_present, "a session outlives the DISCONNECT that ended it")
    for client in (asker, service, other):
        client.disconnect()


every_qos(f"paho-{VERSION}/every")
a_session_that_waits(f"paho-{VERSION}/waits")
a_will(f"paho-{VERSION}/will")
if IS_V5:
    features_of_mqtt_5(f"paho-{VERSION}/features")
