//! What must not be delivered.

use flotilla_mqtt::{PacketId, Publish, QoS};

use super::{Model, Publication, Step, Who, Wish};

/// A group of which nothing more is known.
const UNKNOWN: &str = "unknown";

/// A PUBLISH that was pushed to an honest client.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) client: Who,
    /// Of the client's sessions.
    pub(crate) epoch: usize,
    /// The connection.
    pub(crate) line: usize,
    pub(crate) number: usize,
    /// The group through which it came.
    pub(crate) group: Option<String>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
    /// The application has it: not a repetition that a Packet Identifier gives away.
    pub(crate) is_new: bool,
}

impl Model {
    /// The broker has given a PUBLISH to the client's socket.
    pub(crate) fn pushed(&mut self, who: Who, line: usize, publish: &Publish<'_>) {
        let epoch = self.sessions[who].epoch;
        let Some(number) = number_of(publish.payload) else {
            self.take_packet_id(who, publish, usize::MAX);
            return;
        };
        let told = format!("c{who} got message {number} at step {}", self.now);
        let publication = &self.publications[number];
        assert_eq!(publication.topic, publish.topic, "{told} under another topic");
        assert!(!publication.is_refused, "{told}, which was refused");
        assert!(!publication.is_cancelled, "{told}, the Will of a client that has left properly");
        let sent = publication.sent;
        let Some(sent) = sent else { panic!("{told}, which nobody has sent") };
        let wishes = self.possible(who, publication, sent);
        assert!(!wishes.is_empty(), "{told}, for which it has no subscription");
        self.check_terms(&told, who, publication, &wishes, publish);
        if let Some(expiry_s) = publication.expiry_s
            && self.is_v5(who)
        {
            let left = publish.message_expiry_interval_s;
            // What was sent before goes on ([MQTT-3.3.2-5]).
            let is_late = left == Some(0) && !publish.dup;
            let is_right = left.is_some_and(|left| left <= expiry_s) && !is_late;
            assert!(is_right, "{told} with {left:?} of {expiry_s} seconds left");
        }
        let ids: Vec<_> = publish.subscription_ids.iter().collect();
        let group = match ids.as_slice() {
            [id] => Some(&self.wishes[*id as usize - 1]).filter(|wish| wish.is_shared()),
            _ => None,
        };
        let group = group.map(|wish| wish.filter.clone());
        let group = group.or_else(|| self.former_group(who, publish));
        let delivered = Delivered {
            client: who,
            epoch,
            line,
            number,
            group,
            qos: publish.qos,
            retain: publish.retain,
            dup: publish.dup,
            is_new: publish.qos != QoS::ExactlyOnce
                || publish.packet_id.is_none_or(|id| !self.sessions[who].open.contains(&id)),
        };
        self.check_repetition(&told, &delivered);
        self.check_order(&told, &delivered);
        let at = self.delivered.len();
        self.by_message.entry(number).or_default().push(at);
        self.delivered.push(delivered);
        self.take_packet_id(who, publish, at);
    }

    /// The client's application has not taken what came under this identifier.
    pub(crate) fn refused(&mut self, who: Who, packet_id: PacketId) {
        let session = &mut self.sessions[who];
        session.open.remove(&packet_id);
        let delivery = session.unacknowledged.remove(&packet_id);
        let Some(delivery) = delivery.and_then(|at| self.delivered.get(at)) else { return };
        let number = delivery.number;
        for &at in self.by_message.get(&number).into_iter().flatten() {
            let it = &mut self.delivered[at];
            it.is_new &= it.client != who;
        }
    }

    /// Subscriptions of the client that may have matched when it was routed, or asked for what
    /// was retained.
    fn possible(&self, who: Who, publication: &Publication, sent: Step) -> Vec<&Wish> {
        let routed = publication.routed.filter(|_| !publication.is_excused);
        let routed = routed.unwrap_or(Step::MAX);
        // What replaces a subscription goes on where it was. What a member of a group leaves behind
        // goes to whoever is in it then.
        let was = |wish: &Wish| {
            let is_former = |it: &&Wish| it.client == who && it.filter == wish.filter;
            self.wishes.iter().filter(is_former).any(|it| it.may_be(sent, routed))
        };
        // Retained messages for a session that is stored are looked up when they leave.
        let asks = |wish: &Wish| {
            let asks =
                |it: &&Wish| it.client == who && it.wants_retained && it.matches(publication);
            publication.retain
                && wish.may_be(sent, self.now)
                && self.wishes.iter().filter(asks).any(|it| it.may_be(sent, Step::MAX))
        };
        let may_be = |wish: &&Wish| {
            let is_live = wish.may_be(sent, self.now)
                && (was(wish) || wish.is_shared())
                && !(wish.no_local && publication.publisher == who);
            let is_retained = asks(wish);
            wish.client == who && wish.matches(publication) && (is_live || is_retained)
        };
        self.wishes.iter().filter(may_be).collect()
    }

    /// A repetition whose subscription has been replaced does not say through which group it came.
    fn former_group(&self, who: Who, publish: &Publish<'_>) -> Option<String> {
        let is_silent = publish.subscription_ids.iter().next().is_none();
        let packet_id = publish.packet_id.filter(|_| is_silent && self.is_v5(who))?;
        let former = self.sessions[who].unacknowledged.get(&packet_id);
        match former.and_then(|former| self.delivered.get(*former)) {
            Some(former) => former.group.clone(),
            // It has never been pushed: perhaps that of a group which the client has left.
            None => Some(UNKNOWN.to_owned()),
        }
    }

    fn check_terms(
        &self,
        told: &str,
        who: Who,
        publication: &Publication,
        wishes: &[&Wish],
        publish: &Publish<'_>,
    ) {
        let highest = wishes.iter().map(|wish| wish.qos).max().unwrap_or(QoS::AtMostOnce);
        let granted = highest.min(publication.qos);
        assert!(publish.qos <= granted, "{told} at {:?} above {granted:?}", publish.qos);
        // With a single subscription, always the same, there is nothing to choose.
        if let [wish] = wishes
            && wish.must_be_since(publication.sent.unwrap_or_default())
        {
            assert_eq!(publish.qos, granted, "{told} at another QoS");
            if !publish.retain {
                let is_as_published = wish.retain_as_published && publication.retain;
                assert!(!is_as_published, "{told} without RETAIN, for which it has asked");
            }
        }
        if publish.retain {
            let is_asked = wishes.iter().any(|wish| wish.retain_as_published);
            let is_retained = wishes.iter().any(|wish| wish.wants_retained && !wish.is_shared());
            assert!(publication.retain && (is_asked || is_retained), "{told} with RETAIN");
            if !is_asked && !publish.dup {
                self.check_retained(told, publication, wishes);
            }
        }
        if !self.is_v5(who) {
            return;
        }
        let ids: Vec<_> = publish.subscription_ids.iter().collect();
        // Of a subscription that has been replaced since it was first sent nothing is known.
        // Nor of one whose record was written after its first messages.
        let sent = publication.sent.unwrap_or_default();
        let is_sure = wishes.iter().all(|wish| wish.must_be_since(sent));
        assert!(
            !ids.is_empty() || publish.dup || !is_sure,
            "{told} without Subscription Identifier"
        );
        for id in &ids {
            let known = self.wishes.get(*id as usize - 1);
            let is_possible =
                known.is_some_and(|known| wishes.iter().any(|w| std::ptr::eq(*w, known)));
            assert!(is_possible, "{told} with Subscription Identifier {id}");
        }
        let is_share = |id: &u32| self.wishes[*id as usize - 1].is_shared();
        let is_plain = !publish.retain && !publish.dup && !ids.iter().any(is_share);
        for (wish, number) in self.wishes.iter().zip(1..).filter(|_| is_plain && is_sure) {
            let is_due = !wish.is_shared()
                && wish.must_be_since(sent)
                && !(wish.no_local && publication.publisher == who)
                && wishes.iter().any(|it| std::ptr::eq(*it, wish));
            assert!(!is_due || ids.contains(&number), "{told} without identifier {number}");
        }
        assert!(ids.len() == 1 || !ids.iter().any(is_share), "{told}: a group mixes with others");
    }

    fn check_repetition(&self, told: &str, delivered: &Delivered) {
        let Delivered { client, number, ref group, qos, dup, .. } = *delivered;
        let publication = &self.publications[number];
        let earlier: Vec<&Delivered> = self.by_message.get(&number).map_or(Vec::new(), |all| {
            let all = all.iter().map(|&at| &self.delivered[at]);
            all.filter(|it| it.client == client && it.group == *group).collect()
        });
        let sent = publication.sent.unwrap_or_default();
        let is_crashed = self.crashed.is_some_and(|crashed| crashed >= sent);
        if dup {
            assert!(qos > QoS::AtMostOnce, "{told}: DUP at QoS 0");
            let is_again = earlier.iter().any(|it| it.qos > QoS::AtMostOnce);
            let is_tried = self.sessions[client].lost_line.is_some_and(|lost| lost >= sent);
            let is_unknown = group.as_deref() == Some(UNKNOWN);
            assert!(
                is_again || is_tried || is_crashed || is_unknown,
                "{told}: DUP for the first time"
            );
        }
        // A subscription may bring it again when it is retained.
        let asks = |wish: &&Wish| {
            wish.client == client
                && wish.wants_retained
                && publication.retain
                && wish.matches(publication)
        };
        let retained = self.wishes.iter().filter(asks).count();
        let copies = match publication.qos {
            QoS::AtLeastOnce => publication.copies,
            _ => 1,
        };
        let on_line = earlier.iter().filter(|it| it.line == delivered.line).count();
        // Between SUBSCRIBE and SUBACK both the old subscription counts and the new one.
        let is_between = |wish: &&Wish| {
            let next =
                wish.replaced_by.filter(|_| wish.client == client).map(|at| &self.wishes[at]);
            let granted = next.map(|next| next.granted.unwrap_or(Step::MAX));
            wish.matches(publication)
                && granted.zip(publication.sent).is_some_and(|(granted, sent)| sent <= granted)
                && wish.ending <= Some(publication.routed.unwrap_or(Step::MAX))
        };
        let replaced = self.wishes.iter().filter(is_between).count();
        let is_right = on_line < copies + retained + replaced || publication.is_excused;
        assert!(is_right, "{told}: once more on one connection");
        let is_once = qos == QoS::ExactlyOnce && publication.qos == QoS::ExactlyOnce;
        if is_once && delivered.is_new && !publication.is_excused {
            // A session that ended with the broker has not waited for the disk.
            let counts = |it: &&&Delivered| {
                it.is_new && it.qos == qos && (it.epoch == delivered.epoch || !is_crashed)
            };
            let times = earlier.iter().filter(counts).count();
            assert!(times <= retained, "{told}: QoS 2, once more");
        }
        // A group gives it to one member, unless that one ends.
        if group.is_some() && publication.copies == 1 && !publication.is_excused {
            let all = &self.by_message.get(&number).map_or(&[][..], Vec::as_slice);
            let mut others = all.iter().map(|&at| &self.delivered[at]);
            let other = others.find(|it| {
                let session = &self.sessions[it.client];
                let is_there = it.epoch == session.epoch
                    && self.profile(it.client).expiry_s == u32::MAX
                    && session.begins_anew.is_none();
                // It came from a session that ended, and before that was stored the broker was killed.
                let is_undone = is_crashed
                    && (it.qos == QoS::AtMostOnce || self.profile(it.client).expiry_s == 0);
                it.client != client
                    && it.group == *group
                    && !is_undone
                    && (is_there || it.qos != QoS::AtLeastOnce)
            });
            assert!(other.is_none(), "{told}, as has another member: {other:?}");
        }
    }

    /// Messages of one publisher under one topic, of one QoS, come in the order they were sent.
    fn check_order(&mut self, told: &str, delivered: &Delivered) {
        let Delivered { client, epoch, number, ref group, qos, retain, dup, .. } = *delivered;
        let publication = &self.publications[number];
        let is_first = !self.by_message.get(&number).is_some_and(|all| {
            all.iter().any(|&at| {
                let it = &self.delivered[at];
                (it.client, it.epoch) == (client, epoch) && it.group == *group
            })
        });
        // One that has expired before it was sent may be published again.
        let is_open = dup
            || retain
            || group.is_some()
            || publication.is_excused
            || publication.is_will
            // At QoS 0, or beyond a limit of a session without a log, the first copy may have been
            // lost; or refused, when it was one retained message too many.
            || publication.copies > 1
                && (qos == QoS::AtMostOnce
                    || self.profile(client).expiry_s == 0
                    || publication.retain)
            || publication.expiry_s.is_some()
            // Cleaning may have taken the first copy.
            || self.cleaned.contains(&(client, number));
        let sent = publication.sent.unwrap_or_default();
        let is_open = is_open || self.full.is_some_and(|full| full >= sent);
        let is_sure = self.wishes.iter().any(|wish| {
            wish.client == client
                && !wish.is_shared()
                && wish.matches(publication)
                && wish.must_be_since(sent)
                && !(wish.no_local && publication.publisher == client)
                && (publication.copies == 1 || wish.qos > QoS::AtMostOnce)
        });
        if is_open || !is_first || !is_sure {
            return;
        }
        let (publisher, topic) = (publication.publisher, publication.topic.clone());
        let key = (client, epoch, publisher, topic, publication.qos, qos);
        let last = self.last.entry(key).or_default();
        assert!(*last <= number, "{told} after {last}");
        *last = number;
    }

    /// Cleaning has taken it since.
    fn was_cleaned(&self, delivered: &Delivered) -> bool {
        let Delivered { client, number, ref group, .. } = *delivered;
        let of_group = |group: &String| {
            let mut gone = self.cleaned_of_groups.iter();
            gone.any(|(of, gone)| *gone == number && (of == group || group == UNKNOWN))
        };
        group.as_ref().map_or_else(|| self.cleaned.contains(&(client, number)), of_group)
    }

    fn take_packet_id(&mut self, who: Who, publish: &Publish<'_>, delivery: usize) {
        let Some(packet_id) = publish.packet_id else { return };
        let session = &mut self.sessions[who];
        let known = session.unacknowledged.insert(packet_id, delivery);
        let (Some(old), true) = (known, delivery < self.delivered.len()) else { return };
        let Some(old) = self.delivered.get(old) else { return };
        let new = &self.delivered[delivery];
        // At QoS 2 there should be a PUBREL before (docs/choices.md).
        if self.was_cleaned(old) {
            return;
        }
        let told = format!("c{who}: message {} under {packet_id:?}", new.number);
        assert!(old.line != new.line, "{told}, which is in use for {}", old.number);
        assert!(old.number == new.number, "{told}, which {} had and has not lost", old.number);
        assert!(new.dup, "{told} comes again without DUP");
    }

    pub(crate) fn profile(&self, who: Who) -> &crate::plan::Profile {
        &self.profiles[who]
    }
}

/// Payloads of honest clients begin with `m` and a number. Those of nasty ones are too far from it
/// for a flipped bit.
pub(crate) fn number_of(payload: &[u8]) -> Option<usize> {
    std::str::from_utf8(payload).ok()?.strip_prefix('m')?.split(' ').next()?.parse().ok()
}
