use super::*;

fn moderated(change: impl FnOnce(&mut Config)) -> Stage {
    let mut stage = Stage::new(|config| {
        config.tap = Tap::Moderate;
        change(config);
    });
    stage.native(1, "alice");
    stage.native(2, "bob");
    stage.old(3, "old");
    stage.forget();
    stage
}

impl Stage {
    fn tickets(&mut self) -> Vec<Ticket> {
        let told = std::mem::take(&mut self.told);
        told.into_iter()
            .filter_map(|told| match told {
                Told::Message(incoming) => incoming.ticket,
                _ => None,
            })
            .collect()
    }

    /// What handlers hear of, in its order.
    fn relayed(&mut self) -> Vec<Ticket> {
        let told = std::mem::take(&mut self.told);
        told.into_iter()
            .filter_map(|told| match told {
                Told::Relayed(incoming) => incoming.ticket,
                _ => None,
            })
            .collect()
    }

    fn judge(&mut self, ticket: Ticket, verdict: Verdict) {
        self.room.handle_verdict(ticket, verdict, self.now);
        self.drain();
    }
}

#[test]
fn nothing_is_relayed_before_it_is_judged_and_the_order_of_each_sender_stays() {
    let mut stage = moderated(|_| {});
    for text in ["a", "b", "c"] {
        stage.chat(1, text);
    }
    stage.chat(2, "other");
    assert!(stage.heard.is_empty());
    let tickets = stage.tickets();
    stage.judge(tickets[2], Verdict::Relay);
    stage.judge(tickets[1], Verdict::Relay);
    assert!(stage.heard.is_empty());
    // Another sender's does not wait for them.
    stage.judge(tickets[3], Verdict::Relay);
    assert_eq!(said(&stage.frames(1)), ["other"]);
    assert_eq!(stage.relayed(), tickets[3..]);
    stage.judge(tickets[0], Verdict::Relay);
    assert_eq!(said(&stage.frames(2)), ["a", "b", "c"]);
    // Handlers hear them as the members do.
    assert_eq!(stage.relayed(), tickets[..3]);
    stage.judge(tickets[0], Verdict::Relay);
    assert_eq!(said(&stage.frames(2)), [""; 0], "once");
}

#[test]
fn what_is_dropped_reaches_nobody_and_who_asked_is_told() {
    let mut stage = moderated(|_| {});
    stage.frame(1, emit(To::Others, Some(5), chat("bad")));
    let tickets = stage.tickets();
    stage.judge(tickets[0], Verdict::Drop);
    assert_eq!(
        stage.frames(1),
        [FromHub::Unacked {
            ack: 5,
            from: None,
            reason: UnackedReason::Dropped
        }]
    );
    assert!(stage.heard.is_empty());
    assert_eq!(stage.room.dropped().judged, 1);
}

#[test]
fn what_is_replaced_is_so_for_both_kinds() {
    let mut stage = moderated(|_| {});
    stage.text(3, r#"{"peer_id":"old","message":"darn"}"#);
    let draw = event("draw", "1");
    stage.frame(1, emit(To::Others, None, draw));
    let better = || Verdict::Replace(Body::Json(Json::string("***")));
    for ticket in stage.tickets() {
        stage.judge(ticket, better());
    }
    let frames = stage.frames(2);
    assert_eq!(said(&frames), ["***"]);
    assert!(matches!(&frames[1], FromHub::Message(it) if it.said == event("draw", "\"***\"")));
    assert!(stage.texts(3)[0].contains(r#""event":"draw","data":"***""#));
    assert_eq!(said(&stage.frames(1)), ["***"]);
}

#[test]
fn a_verdict_that_does_not_come_is_the_policys() {
    for (unjudged, texts) in [(Unjudged::Relay, &["x"][..]), (Unjudged::Drop, &[])] {
        let mut stage = moderated(|config| config.unjudged = unjudged);
        stage.chat(1, "x");
        let tickets = stage.tickets();
        stage.wait(Duration::from_millis(4_999));
        assert!(stage.heard.is_empty());
        stage.wait(Duration::from_millis(1));
        assert_eq!(said(&stage.frames(2)), texts);
        assert_eq!(stage.room.dropped().unjudged, 1);
        stage.judge(tickets[0], Verdict::Relay);
        assert!(!stage.heard.contains_key(&2));
    }
}

#[test]
fn who_leaves_has_left_after_what_it_said() {
    let mut stage = moderated(|_| {});
    stage.chat(1, "last words");
    stage.frame(1, FromMember::Leave);
    assert!(stage.heard.is_empty());
    let tickets = stage.tickets();
    stage.judge(tickets[0], Verdict::Relay);
    let frames = stage.frames(2);
    assert!(
        matches!(
            &frames[..],
            [
                FromHub::Message(_),
                FromHub::Left { .. },
                FromHub::Host { .. }
            ]
        ),
        "{frames:?}"
    );
    // Not for longer than verdicts are waited for.
    stage.chat(2, "silence");
    stage.frame(2, FromMember::Leave);
    stage.wait(Duration::from_secs(5));
    assert_eq!(stage.names(), ["old"]);
}

#[test]
fn what_waits_for_verdicts_is_bounded() {
    for change in [
        (|config: &mut Config| config.pending_messages = 3) as fn(&mut Config),
        |config| config.pending_octets = 30,
    ] {
        let mut stage = moderated(change);
        for _ in 0..3 {
            stage.chat(1, "123");
        }
        assert_eq!(stage.closed, []);
        stage.chat(1, "123");
        assert_eq!(stage.closed, [(1, refused(RefusedCode::Rate))]);
        // What it said before is judged all the same, before it is gone.
        for ticket in stage.tickets() {
            stage.judge(ticket, Verdict::Relay);
        }
        let frames = stage.frames(2);
        assert_eq!(said(&frames).len(), 3);
        assert!(matches!(&frames[3], FromHub::Left { .. }));
    }
}

#[test]
fn a_page_that_is_loaded_anew_may_ask_again_what_the_former_one_asked() {
    let mut stage = moderated(|_| {});
    stage.frame(1, emit(To::Others, Some(1), chat("from the former page")));
    stage.hello(4, "alice", 1, Epoch::default(), 0);
    stage.frame(4, emit(To::Others, Some(1), chat("from the new one")));
    assert_eq!(stage.closed, [(1, refused(RefusedCode::Replaced))]);
    // The former page's message still goes its way; its answers are nobody's.
    stage.heard.clear();
    for ticket in stage.tickets() {
        stage.judge(ticket, Verdict::Relay);
    }
    let frames = stage.frames(2);
    let asks: Vec<_> = frames
        .iter()
        .filter_map(|frame| match frame {
            FromHub::Message(message) => Some(message.ack),
            _ => None,
        })
        .collect();
    assert_eq!(asks, [None, Some(1)]);
    let asked = |frame: &FromHub| matches!(frame, FromHub::Asked { ack: 1, .. });
    assert_eq!(stage.frames(4).iter().filter(|it| asked(it)).count(), 1);
}
