//! Two engines in one process that look for a way to each other anew.

use tokio::time::timeout;

use super::super::*;
use super::sockets::{SOON, Side, connect, engine, text};

/// Carries a restart from `a` to `b` and back. Returns the user fragments of both in the new generation.
async fn restart(a: &Side, b: &Side) -> (String, String) {
    let offer = a.conn.restart().await.expect("offered");
    let answer = b.conn.answer_restart(&offer).await.expect("answered");
    a.conn.set_remote(&answer).await.expect("applied");
    let ufrag = |description| {
        sdp::attribute(description, "ice-ufrag")
            .expect("there")
            .to_owned()
    };
    (ufrag(&offer), ufrag(&answer))
}

/// Carries a candidate of the new generation each way.
async fn trickle(a: &mut Side, b: &mut Side, (ufrag_a, ufrag_b): &(String, String)) {
    let candidate = candidate_of(a, ufrag_a).await;
    b.conn.add_candidate(&candidate).await.expect("added");
    let candidate = candidate_of(b, ufrag_b).await;
    a.conn.add_candidate(&candidate).await.expect("added");
}

async fn candidate_of(side: &mut Side, ufrag: &str) -> String {
    timeout(SOON, async {
        loop {
            match side.conn.event().await.expect("alive") {
                Event::Candidate(candidate)
                    if sdp::candidate_ufrag(&candidate) == Some(ufrag)
                        && candidate.contains("127.0.0.1") =>
                {
                    return candidate;
                }
                _ => {}
            }
        }
    })
    .await
    .expect("told again")
}

async fn exchange(a: &mut Side, b: &mut Side, word: &str) {
    for (from, to) in [(&mut *a, &mut *b)] {
        from.channel.send(text(word)).await.expect("open");
        let got = timeout(SOON, to.channel.recv()).await.expect("soon");
        assert_eq!(got, Some(text(word)));
        to.channel.send(text(word)).await.expect("open");
        let got = timeout(SOON, from.channel.recv()).await.expect("soon");
        assert_eq!(got, Some(text(word)));
    }
}

#[tokio::test]
async fn a_restart_keeps_the_channel_and_tells_all_candidates_again() {
    let (a, b) = (engine(), engine());
    let (mut a, mut b) = connect(&a, &b, "x", 0).await;
    let mut seen = Vec::new();
    for word in ["once", "twice"] {
        let ufrags = restart(&a, &b).await;
        exchange(&mut a, &mut b, "before any candidate").await;
        trickle(&mut a, &mut b, &ufrags).await;
        exchange(&mut a, &mut b, word).await;
        assert!(!seen.contains(&ufrags), "each generation has its own");
        seen.push(ufrags);
    }
}
