//! `vectors/cookies.json` is what this code does. `UPDATE_VECTORS=1 cargo test -p peerage-proto vectors` writes it anew.

use std::time::Duration;

use serde_json::{Value, json};

use super::table::{START, Table};
use crate::jar::{Relation, Site};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/cookies.json");

const TARGET: &str = "shop.example.com";
const DEVICE: &str = "device.localhost";

#[test]
fn the_vectors_say_what_the_code_does() {
    let made = json!({
        "about": [
            "Cookies over a link, docs/protocol/http.md section 9. One caller and an empty jar in each case; the target is http://shop.example.com and \
             the device's origin http://device.localhost, 'now' is where the device's clock begins, in milliseconds.",
            "Steps, in order. receive: an answer to a request for the path 'from' has these Set-Cookie lines; 'news' are the peerage-cookie fields that it \
             then has, in any order. script: documents say document.cookie = …; 'answer' is what POST /__peerage/cookies answers. wait: milliseconds pass.",
            "Then 'requests': the Cookie field that the target gets with a request (null: none), 'site' is its sec-fetch-site, and it is a navigation by GET. \
             'listing': what GET /__peerage/cookies answers. 'documents': what document.cookie is in a document of this path.",
        ],
        "now": START.0,
        "cases": cases().into_iter().map(Case::play).collect::<Vec<_>>(),
    });
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(PATH, format!("{made:#}\n")).expect("the vectors can be written");
    }
    let text = std::fs::read_to_string(PATH).expect("vectors/cookies.json is there");
    let kept: Value = serde_json::from_str(&text).expect("vectors/cookies.json is JSON");
    for (kept, made) in kept["cases"]
        .as_array()
        .into_iter()
        .flatten()
        .zip(made["cases"].as_array().into_iter().flatten())
    {
        assert_eq!(
            kept, made,
            "{}: UPDATE_VECTORS=1 if this change of the protocol is meant",
            made["name"]
        );
    }
    assert_eq!(
        kept, made,
        "UPDATE_VECTORS=1 if this change of the protocol is meant"
    );
}

struct Case {
    name: &'static str,
    steps: Vec<Step>,
    /// Paths of requests by the app's own pages, and the field that is wanted.
    requests: Vec<(&'static str, &'static str)>,
    /// Paths of documents, and what scripts in them read.
    documents: Vec<(&'static str, &'static str)>,
}

enum Step {
    Receive(&'static str, Vec<&'static str>),
    Script(Vec<(&'static str, &'static str)>),
    Wait(u64),
}
use Step::{Receive, Script, Wait};

impl Case {
    fn play(self) -> Value {
        let mut table = Table::of(Site::new("http://shop.example.com/", [TARGET, DEVICE], ""));
        let steps: Vec<Value> = self
            .steps
            .iter()
            .map(|step| step.play(&mut table))
            .collect();
        let mut requests = Vec::new();
        for (path, wanted) in &self.requests {
            assert_eq!(table.get(path), *wanted, "{}: {path}", self.name);
            for (site, relation) in [
                ("same-origin", Relation::Same),
                ("cross-site", Relation::Followed),
            ] {
                let sent = table.get_for(1, relation, path);
                let sent = (!sent.is_empty()).then_some(sent);
                requests.push(json!({ "path": path, "site": site, "cookie": sent }));
            }
        }
        let listing = table.list();
        let documents: Vec<Value> = self
            .documents
            .iter()
            .map(|(path, wanted)| {
                let mut cookies: Vec<_> = listing
                    .cookies
                    .iter()
                    .filter(|c| crate::jar::site::matches(c.path.as_bytes(), path.as_bytes()))
                    .collect();
                cookies.sort_by_key(|c| (std::cmp::Reverse(c.path.len()), c.created));
                let read: Vec<String> = cookies
                    .iter()
                    .filter_map(|c| {
                        let value = c.value.as_ref()?;
                        Some(if c.name.is_empty() {
                            value.clone()
                        } else {
                            format!("{}={value}", c.name)
                        })
                    })
                    .collect();
                assert_eq!(
                    read.join("; "),
                    *wanted,
                    "{}: document at {path}",
                    self.name
                );
                json!({ "path": path, "cookie": wanted })
            })
            .collect();
        json!({ "name": self.name, "steps": steps, "requests": requests, "listing": listing, "documents": documents })
    }
}

impl Step {
    fn play(&self, table: &mut Table) -> Value {
        match self {
            Receive(from, lines) => {
                let news = crate::wire::cookie::announce(&table.set(from, lines));
                json!({ "receive": { "from": from, "setCookie": lines }, "news": news })
            }
            Script(changes) => {
                let changes = crate::wire::cookie::Changes {
                    changes: changes
                        .iter()
                        .map(|(path, cookie)| crate::wire::cookie::Change {
                            path: (*path).to_owned(),
                            cookie: (*cookie).to_owned(),
                        })
                        .collect(),
                };
                let answer = table
                    .jar
                    .script(&super::table::caller(1), &changes, table.now);
                json!({ "script": changes, "answer": answer })
            }
            Wait(millis) => {
                table.wait(Duration::from_millis(*millis));
                json!({ "wait": millis })
            }
        }
    }
}

fn cases() -> Vec<Case> {
    let case = |name, steps, requests: &[_], documents: &[_]| Case {
        name,
        steps,
        requests: requests.to_vec(),
        documents: documents.to_vec(),
    };
    vec![
        case("nothing", vec![], &[("/", "")], &[("/", "")]),
        case(
            "a session that scripts cannot see, and a theme that they can",
            vec![Receive(
                "/login",
                vec!["sid=1; HttpOnly; Path=/", "theme=dark; Path=/"],
            )],
            &[("/", "sid=1; theme=dark")],
            &[("/", "theme=dark"), ("/any/where", "theme=dark")],
        ),
        case(
            "longer paths first, then the older",
            vec![Receive(
                "/a/b/c",
                vec![
                    "root=1; Path=/",
                    "folder",
                    "deep=1; Path=/a/b/c",
                    "root2=1; Path=/",
                    "up=1; Path=/a",
                ],
            )],
            &[
                ("/a/b/c", "deep=1; folder; up=1; root=1; root2=1"),
                ("/a/bc", "up=1; root=1; root2=1"),
            ],
            &[
                ("/a/b/c", "deep=1; folder; up=1; root=1; root2=1"),
                ("/", "root=1; root2=1"),
            ],
        ),
        case(
            "a replaced cookie keeps its place",
            vec![
                Receive("/", vec!["a=1", "b=1"]),
                Wait(1000),
                Receive("/", vec!["a=2"]),
            ],
            &[("/", "a=2; b=1")],
            &[("/", "a=2; b=1")],
        ),
        case(
            "what is said once more is no news, what is gone is",
            vec![
                Receive("/", vec!["a=1", "b=1; Max-Age=60"]),
                Receive("/", vec!["a=1", "b=; Max-Age=0", "c=; Max-Age=0"]),
            ],
            &[("/", "a=1")],
            &[("/", "a=1")],
        ),
        case(
            "a cookie that becomes HttpOnly is gone for scripts",
            vec![
                Receive("/", vec!["a=1"]),
                Receive("/", vec!["a=2; HttpOnly"]),
            ],
            &[("/", "a=2")],
            &[("/", "")],
        ),
        case(
            "a cookie ends by the device's clock",
            vec![
                Receive(
                    "/",
                    vec![
                        "a=1; Max-Age=60",
                        "b=1; Expires=Sun, 17 Mar 2030 17:47:41 GMT",
                    ],
                ),
                Wait(60_000),
            ],
            &[("/", "b=1")],
            &[("/", "b=1")],
        ),
        case(
            "400 days at most, and Max-Age before Expires",
            vec![Receive(
                "/",
                vec![
                    "a=1; Max-Age=99999999999",
                    "b=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=1",
                    "c=1; Max-Age=x",
                ],
            )],
            &[("/", "a=1; b=1; c=1")],
            &[("/", "a=1; b=1; c=1")],
        ),
        case(
            "domains: of the target, of the device, of a parent, of nobody here",
            vec![Receive(
                "/",
                vec![
                    "a=1; Domain=.Shop.example.com",
                    "b=1; Domain=device.localhost",
                    "c=1; Domain=example.com",
                    "d=1; Domain=example.org",
                ],
            )],
            &[("/", "a=1; b=1; c=1")],
            &[("/", "a=1; b=1; c=1")],
        ),
        case(
            "one name with and without a domain are two cookies",
            vec![Receive("/", vec!["a=1", "a=2; Domain=example.com"])],
            &[("/", "a=1; a=2")],
            &[("/", "a=1; a=2")],
        ),
        case(
            "SameSite",
            vec![Receive(
                "/",
                vec![
                    "s=1; SameSite=Strict",
                    "l=1; SameSite=Lax",
                    "n=1; SameSite=None; Secure",
                    "n2=1; SameSite=None",
                    "u=1",
                ],
            )],
            &[("/", "s=1; l=1; n=1; u=1")],
            &[("/", "s=1; l=1; n=1; u=1")],
        ),
        case(
            "names that promise something",
            vec![Receive(
                "/x",
                vec![
                    "__Secure-a=1; Secure",
                    "__secure-b=1",
                    "__Host-c=1; Secure; Path=/",
                    "__HOST-d=1; Secure; Path=/x",
                    "__Host-e",
                ],
            )],
            &[("/x", "__Secure-a=1; __Host-c=1")],
            &[("/x", "__Secure-a=1; __Host-c=1")],
        ),
        case(
            "odd names and values",
            vec![Receive(
                "/",
                vec![
                    "=a=b",
                    "c==d",
                    " e = f g ; Path=/",
                    "h=\"i, j\"",
                    "",
                    "grüße=🍪",
                    "%=100%",
                ],
            )],
            &[("/", "a=b; c==d; e=f g; h=\"i, j\"; grüße=🍪; %=100%")],
            &[("/", "a=b; c==d; e=f g; h=\"i, j\"; grüße=🍪; %=100%")],
        ),
        case(
            "scripts set, change and remove, in their order",
            vec![
                Receive("/", vec!["a=1", "b=1"]),
                Script(vec![
                    ("/shop/list", "c=1"),
                    ("/shop/list", "c=2; Max-Age=60"),
                    ("/", "a=2"),
                    ("/", "b=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
                    ("/", "gone=; Max-Age=0"),
                ]),
            ],
            &[("/shop/x", "c=2; a=2"), ("/", "a=2")],
            &[("/shop/x", "c=2; a=2"), ("/", "a=2")],
        ),
        case(
            "what a script may not set shows as it is",
            vec![
                Receive("/", vec!["sid=1; HttpOnly", "a=1"]),
                Script(vec![
                    ("/", "sid=mine"),
                    ("/", "a=2; HttpOnly"),
                    ("/", "b=1; HttpOnly"),
                    ("/", "c=1; Domain=example.org"),
                    ("/", "__Host-d=1"),
                    ("/", "e=1; SameSite=None"),
                ]),
            ],
            &[("/", "sid=1; a=1")],
            &[("/", "a=1")],
        ),
        case(
            "more news than fit are a star",
            vec![Receive(
                "/",
                vec![
                    "a01=1",
                    "a02=1",
                    "a03=1",
                    "a04=1",
                    "a05=1",
                    "a06=1",
                    "a07=1",
                    "a08=1",
                    "a09=1",
                    "a10=1",
                    "a11=1",
                    "a12=1",
                    "a13=1",
                    "a14=1",
                    "a15=1",
                    "a16=1",
                    "a17=1",
                    "a18=1",
                    "a19=1",
                    "a20=1",
                    "a21=1",
                    "a22=1",
                    "a23=1",
                    "a24=1",
                    "a25=1",
                    "a26=1",
                    "a27=1",
                    "a28=1",
                    "a29=1",
                    "a30=1",
                    "a31=1",
                    "a32=1",
                    "a33=1; Path=/a",
                ],
            )],
            &[],
            &[(
                "/a",
                "a33=1; a01=1; a02=1; a03=1; a04=1; a05=1; a06=1; a07=1; a08=1; a09=1; a10=1; a11=1; a12=1; a13=1; a14=1; a15=1; a16=1; a17=1; a18=1; \
                      a19=1; a20=1; a21=1; a22=1; a23=1; a24=1; a25=1; a26=1; a27=1; a28=1; a29=1; a30=1; a31=1; a32=1",
            )],
        ),
    ]
}
