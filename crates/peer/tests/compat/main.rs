//! What was recorded of the stock client in a browser (`vectors/peerjs-client.json`), done again with native peers and held against
//! `docs/compat-peerjs.md`: the one place that may say that something differs.
#![allow(clippy::unwrap_used)]

#[path = "../../../server/tests/compat/compare.rs"]
#[allow(dead_code, reason = "the server's test replays parts of files")]
mod compare;
mod defects;
mod recorded;
#[path = "../peer/relay.rs"]
#[allow(dead_code, reason = "hostile servers are another test's")]
mod relay;
mod scenes;
#[path = "../../../server/tests/compat/table.rs"]
#[allow(dead_code, reason = "behaviour is the server's test to check")]
mod table;

use std::path::Path;

use compare::{Judge, Observed};

/// The document, as people read it.
fn doc() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(PAGE)).unwrap()
}

/// What messages call the document.
const PAGE: &str = "docs/compat-peerjs.md";

const VECTORS: &str = "peerjs-client.json";

#[tokio::test]
async fn scenes_of_the_stock_client_are_the_same_with_native_peers_but_for_what_the_table_says() {
    let mut judge = Judge::new(VECTORS, table::parse_section(&doc(), VECTORS));
    let scenes = recorded::scenes();
    assert_eq!(scenes.len(), 36);
    for scene in &scenes {
        let mut recorded = scene.lines();
        let mut here = scenes::play(scene).await;
        recorded.sort();
        here.sort();
        let observed = |lines| Observed::from([(String::new(), lines)]);
        let kinds = ["every connection"];
        judge.take(&scene.name, &kinds, observed(recorded), observed(here));
    }
    judge.finish();
}
