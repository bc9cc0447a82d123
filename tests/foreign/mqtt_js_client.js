// MQTT.js against the broker: every QoS, wildcards, sessions that wait, what MQTT 5 added.
//
//     NODE_PATH=… node mqtt_js_client.js HOST PORT CA 3.1.1|5
//
// Ends with 0, or with 1 after a sentence that says what went wrong.
'use strict'

const fs = require('node:fs')

let mqtt
try {
  mqtt = require('mqtt')
} catch (error) {
  console.error(`NODE_PATH leads to no MQTT.js; 'make test' gets it. ${error.message}`)
  process.exit(1)
}

const DEADLINE = 20_000
const [host, port, ca, version] = process.argv.slice(2)
const isV5 = version === '5'

function fail(sentence) {
  console.error(`MQTT.js ${version}: ${sentence}`)
  process.exit(1)
}

function check(isRight, sentence) {
  if (!isRight) fail(sentence)
}

function within(promise, what) {
  const late = setTimeout(() => fail(`no ${what} within ${DEADLINE / 1000} s`), DEADLINE)
  return promise.finally(() => clearTimeout(late))
}

/** One connection; what comes waits in order. */
class Client {
  static async connect(name, options = {}) {
    const client = new Client()
    const { persistent = false, ...rest } = options
    client.waiting = []
    client.waiters = []
    client.mqtt = mqtt.connect({
      protocol: 'mqtts',
      host,
      port: Number(port),
      ca: fs.readFileSync(ca),
      clientId: `mqtt-js-${version}-${name}`,
      protocolVersion: isV5 ? 5 : 4,
      clean: !persistent,
      properties: isV5 ? { sessionExpiryInterval: persistent ? 3600 : 0 } : undefined,
      reconnectPeriod: 0,
      ...rest,
    })
    client.mqtt.on('error', (error) => fail(`${name}: ${error.message}`))
    client.mqtt.on('message', (topic, payload, packet) => {
      // In the packet the topic is empty where an alias stands for it.
      const message = { ...packet, topic }
      const waiter = client.waiters.shift()
      if (waiter) waiter(message)
      else client.waiting.push(message)
    })
    const connack = new Promise((resolve) => client.mqtt.once('connect', resolve))
    client.sessionPresent = (await within(connack, 'CONNACK')).sessionPresent
    return client
  }

  async subscribe(filter, qos, options = {}) {
    const granted = await within(this.mqtt.subscribeAsync(filter, { qos, ...options }), 'SUBACK')
    check(granted[0].qos === qos, `SUBACK for ${filter}: ${JSON.stringify(granted)}`)
  }

  unsubscribe(filter) {
    return within(this.mqtt.unsubscribeAsync(filter), 'UNSUBACK')
  }

  publish(topic, payload, qos, options = {}) {
    return within(
      this.mqtt.publishAsync(topic, payload, { qos, ...options }),
      `acknowledgement of ${topic} with QoS ${qos}`,
    )
  }

  take() {
    if (this.waiting.length > 0) return Promise.resolve(this.waiting.shift())
    return within(new Promise((resolve) => this.waiters.push(resolve)), 'message')
  }

  async expect(topic, payload, qos, retain = false) {
    const packet = await this.take()
    const got = [packet.topic, packet.payload.toString(), packet.qos, packet.retain]
    const expected = [topic, payload, qos, retain]
    check(String(got) === String(expected), `[${got}] came instead of [${expected}]`)
  }

  disconnect() {
    return within(this.mqtt.endAsync(), 'end of the connection')
  }
}

async function everyQos(prefix) {
  const publisher = await Client.connect('publisher')
  const subscriber = await Client.connect('subscriber')
  for (const granted of [0, 1, 2]) {
    await subscriber.subscribe(`${prefix}/+/qos/#`, granted)
    for (const published of [0, 1, 2]) {
      await publisher.publish(`${prefix}/a/qos/${granted}`, 'x', published)
      await subscriber.expect(`${prefix}/a/qos/${granted}`, 'x', Math.min(granted, published))
    }
  }
  await subscriber.unsubscribe(`${prefix}/+/qos/#`)
  await publisher.publish(`${prefix}/kept`, 'retained', 1, { retain: true })
  await subscriber.subscribe(`${prefix}/+`, 1)
  await subscriber.expect(`${prefix}/kept`, 'retained', 1, true)
  if (isV5) {
    const properties = {
      userProperties: { z: ['1', '3'], a: '2' },
      contentType: 'text/plain',
      correlationData: Buffer.from([0, 255]),
    }
    await publisher.publish(`${prefix}/properties`, 'x', 2, { properties })
    const got = (await subscriber.take()).properties
    check(String(got.userProperties.z) === '1,3', `User Properties: ${JSON.stringify(got)}`)
    check(got.correlationData.equals(properties.correlationData), 'Correlation Data changed')
    await subscriber.unsubscribe(`${prefix}/+`)
    await subscriber.subscribe(`${prefix}/local`, 1, { nl: true, rap: true })
    await subscriber.publish(`${prefix}/local`, 'mine', 1)
    await publisher.publish(`${prefix}/local`, "other's", 1, { retain: true })
    await subscriber.expect(`${prefix}/local`, "other's", 1, true)
  }
  const large = 'x'.repeat(200_000)
  await subscriber.subscribe(`${prefix}/large`, 2)
  await publisher.publish(`${prefix}/large`, large, 2)
  check((await subscriber.take()).payload.toString() === large, 'a large message came changed')
  await publisher.disconnect()
  await subscriber.disconnect()
}

async function aSessionThatWaits(prefix) {
  let sleeper = await Client.connect('sleeper', { persistent: true })
  check(!sleeper.sessionPresent, 'a session is present at the first connection')
  await sleeper.subscribe(`${prefix}/#`, 2)
  await sleeper.disconnect()
  const publisher = await Client.connect('publisher')
  for (let number = 0; number < 50; number++) {
    await publisher.publish(`${prefix}/${1 + (number % 2)}`, String(number), 1 + (number % 2))
  }
  sleeper = await Client.connect('sleeper', { persistent: true })
  check(sleeper.sessionPresent, 'no session is present when the client comes back')
  const got = { 1: [], 2: [] }
  for (let number = 0; number < 50; number++) {
    const packet = await sleeper.take()
    got[packet.qos].push(Number(packet.payload.toString()))
  }
  for (const qos of [1, 2]) {
    const expected = Array.from({ length: 25 }, (_, number) => number * 2 + qos - 1)
    check(String(got[qos]) === String(expected), `missed with QoS ${qos}: ${got[qos]}`)
  }
  await publisher.publish(`${prefix}/1`, 'live', 1)
  await sleeper.expect(`${prefix}/1`, 'live', 1)
  await sleeper.disconnect()
  await publisher.disconnect()
}

async function aWill(prefix) {
  const watcher = await Client.connect('watcher')
  await watcher.subscribe(`${prefix}/will`, 1)
  const will = { topic: `${prefix}/will`, payload: Buffer.from('gone'), qos: 1, retain: false }
  const mortal = await Client.connect('mortal', { will })
  mortal.mqtt.stream.destroy()
  await watcher.expect(`${prefix}/will`, 'gone', 1)
  await watcher.disconnect()
  await mortal.mqtt.endAsync(true)
}

async function featuresOfMqtt5(prefix) {
  // Topic Aliases both ways: the client finds the topic where the broker leaves it out.
  const reader = await Client.connect('reader', {
    properties: { sessionExpiryInterval: 0, topicAliasMaximum: 5, receiveMaximum: 10 },
  })
  const writer = await Client.connect('writer', { autoAssignTopicAlias: true })
  let withoutTopic = 0
  reader.mqtt.on('packetreceive', (packet) => {
    if (packet.cmd === 'publish' && packet.topic === '') withoutTopic++
  })
  await reader.subscribe(`${prefix}/long/topic/#`, 1, { properties: { subscriptionIdentifier: 9 } })
  for (let number = 0; number < 6; number++) {
    await writer.publish(`${prefix}/long/topic/1`, String(number), 1)
    const packet = await reader.take()
    check(packet.properties.subscriptionIdentifier === 9, 'no Subscription Identifier')
    const got = [packet.topic, packet.payload.toString()]
    check(String(got) === String([`${prefix}/long/topic/1`, number]), `[${got}] came`)
  }
  check(withoutTopic >= 1, 'the broker used no alias')
  // A request with its answer.
  await writer.subscribe(`${prefix}/answers`, 1)
  await reader.subscribe(`${prefix}/ask`, 1)
  const properties = {
    responseTopic: `${prefix}/answers`,
    correlationData: Buffer.from('42'),
    messageExpiryInterval: 100,
  }
  await writer.publish(`${prefix}/ask`, 'what?', 1, { properties })
  const asked = (await reader.take()).properties
  check(asked.messageExpiryInterval >= 99, `Message Expiry: ${asked.messageExpiryInterval}`)
  await reader.publish(asked.responseTopic, 'that', 1, {
    properties: { correlationData: asked.correlationData },
  })
  const answer = (await writer.take()).properties
  check(answer.correlationData.toString() === '42', 'Correlation Data changed')
  // A group of two: each message to one of them.
  for (const member of [reader, writer]) await member.subscribe(`$share/g/${prefix}/work`, 1)
  for (let number = 0; number < 10; number++) await writer.publish(`${prefix}/work`, String(number), 1)
  const numbers = []
  for (const member of [reader, writer]) {
    for (let count = 0; count < 5; count++) numbers.push(Number((await member.take()).payload))
  }
  check(new Set(numbers).size === 10, `a group got ${numbers}`)
  await reader.disconnect()
  await writer.disconnect()
}

async function main() {
  await everyQos(`mqtt-js-${version}/every`)
  await aSessionThatWaits(`mqtt-js-${version}/waits`)
  await aWill(`mqtt-js-${version}/will`)
  if (isV5) await featuresOfMqtt5(`mqtt-js-${version}/features`)
}

main().catch((error) => fail(error.stack))
