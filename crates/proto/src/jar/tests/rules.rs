//! RFC 6265bis, rule by rule: what is set, and what then goes along with a request.

use std::time::Duration;

use super::table::Table;
use crate::jar::{Relation, Site};

/// An answer from `/shop/list` sets these; then a request for the path carries that.
fn check(cases: &[(&[&str], &str, &str)]) {
    for (lines, path, wanted) in cases {
        let mut table = Table::new();
        table.set("/shop/list", lines);
        assert_eq!(table.get(path), *wanted, "{lines:?} at {path}");
    }
}

#[test]
fn names_and_values_are_what_stands_around_the_first_equals_sign() {
    check(&[
        (&["a=b"], "/shop", "a=b"),
        (&["a=b=c"], "/shop", "a=b=c"),
        (&["a=b==; x"], "/shop", "a=b=="),
        (&["  a  =  b  ;Path=/"], "/", "a=b"),
        (&["\ta\t=\tb c\t"], "/shop", "a=b c"),
        (&["a="], "/shop", "a="),
        (&["a=\"b, c\""], "/shop", "a=\"b, c\""),
        (&["a=\"b;c\""], "/shop", "a=\"b"),
        (&["A=1", "a=2"], "/shop", "A=1; a=2"),
        (&["a=grüße"], "/shop", "a=grüße"),
        (&["a,b=1"], "/shop", "a,b=1"),
        (&["a b=1"], "/shop", "a b=1"),
    ]);
}

#[test]
fn a_cookie_may_have_no_name_but_not_neither_name_nor_value() {
    check(&[
        (&["b"], "/shop", "b"),
        (&["=b"], "/shop", "b"),
        (&["=b=c"], "/shop", "b=c"),
        (&["b", "=c"], "/shop", "c"),
        (&[""], "/shop", ""),
        (&["="], "/shop", ""),
        (&[" ; Path=/"], "/", ""),
        (&[";a=b"], "/shop", ""),
    ]);
}

#[test]
fn a_line_with_a_control_character_is_no_cookie_and_a_tab_is_none() {
    for octet in (0..0x20).chain([0x7f]) {
        let c = char::from(octet);
        for line in [
            format!("a=b{c}c"),
            format!("a{c}c=b"),
            format!("a=b; Path=/{c}"),
        ] {
            let mut table = Table::new();
            table.set("/shop/list", &[&line]);
            assert_eq!(table.get("/shop").is_empty(), c != '\t', "{octet:02x}");
        }
    }
}

#[test]
fn a_cookie_is_at_most_4096_octets_of_name_and_value() {
    let long = |name: usize, value: usize| format!("{}={}", "n".repeat(name), "v".repeat(value));
    check(&[
        (&[&long(96, 4000)], "/shop", &long(96, 4000)),
        (&[&long(97, 4000)], "/shop", ""),
        (&[&long(0, 4097)], "/shop", ""),
    ]);
}

#[test]
fn an_attribute_of_more_than_1024_octets_is_as_if_it_were_not_there() {
    let path = |length: usize| format!("/{}", "p".repeat(length - 1));
    let line = |length| format!("a=b; Path={}", path(length));
    check(&[
        (&[&line(1024)], &path(1024), "a=b"),
        (&[&line(1025)], &path(1025), ""),
        (&[&line(1025)], "/shop", "a=b"),
    ]);
    let mut table = Table::new();
    table.set(&format!("{}/x", path(1025)), &["a=b"]);
    assert_eq!(
        table.get(&path(1025)),
        "",
        "nor is the path of the request a longer one"
    );
}

#[test]
fn paths_cover_what_lies_below_them() {
    check(&[
        (&["a=b; Path=/"], "/x", "a=b"),
        (&["a=b; path=/x"], "/x", "a=b"),
        (&["a=b; PATH=/x"], "/x/y", "a=b"),
        (&["a=b; Path=/x"], "/xy", ""),
        (&["a=b; Path=/x"], "/", ""),
        (&["a=b; Path=/x/"], "/x/y", "a=b"),
        (&["a=b; Path=/x/"], "/x", ""),
        (&["a=b; Path=/X"], "/x", ""),
        (&["a=b; Path=/%78"], "/x", ""),
        (&["a=b; Path=/x; Path=/y"], "/y", "a=b"),
        (&["a=b; Path=/x; Path=/y"], "/x", ""),
    ]);
}

#[test]
fn without_a_path_it_is_the_folder_of_the_request() {
    for (at, below, beside) in [
        ("/shop/list", "/shop", "/"),
        ("/shop/list/", "/shop/list", "/shop"),
        ("/shop/", "/shop/x", "/"),
    ] {
        for line in [
            "a=b",
            "a=b; Path",
            "a=b; Path=",
            "a=b; Path=shop",
            "a=b; Path=/y; Path=",
        ] {
            let mut table = Table::new();
            table.set(at, &[line]);
            assert_eq!(table.get(below), "a=b", "{line} from {at}");
            assert_eq!(table.get(beside), "", "{line} from {at}");
        }
    }
    let mut table = Table::new();
    table.set("/list", &["a=b"]);
    assert_eq!(table.get("/"), "a=b");
}

#[test]
fn longer_paths_go_first_and_then_the_older() {
    check(&[
        (
            &[
                "a=1; Path=/",
                "b=2; Path=/shop/list",
                "c=3; Path=/shop",
                "d=4; Path=/shop",
            ],
            "/shop/list",
            "b=2; c=3; d=4; a=1",
        ),
        (
            &["a=1; Path=/", "b=2; Path=/", "a=3; Path=/"],
            "/",
            "a=3; b=2",
        ),
        (&["a=1; Path=/", "a=2; Path=/shop"], "/shop", "a=2; a=1"),
        (
            &[
                "a=1; Path=/",
                "b=2; Path=/",
                "a=; Path=/; Max-Age=0",
                "a=3; Path=/",
            ],
            "/",
            "b=2; a=3",
        ),
    ]);
}

#[test]
fn domains_must_name_the_targets_host_or_the_devices_or_a_parent_of_one() {
    for (domain, taken) in [
        ("", true),
        (".", true),
        ("shop.example.com", true),
        (".shop.example.com", true),
        ("SHOP.Example.Com", true),
        ("example.com", true),
        ("com", true),
        ("device.localhost", true),
        ("localhost", true),
        ("hop.example.com", false),
        ("my.shop.example.com", false),
        ("ple.com", false),
        ("other.example.com", false),
        ("example.org", false),
        ("..example.com", false),
        ("example.com.", false),
        ("shop.example.com:80", false),
        ("shöp.example.com", false),
    ] {
        let mut table = Table::new();
        table.set("/", &[&format!("a=b; Domain={domain}")]);
        assert_eq!(table.get("/") == "a=b", taken, "{domain}");
    }
    check(&[
        (
            &["a=b; Domain=example.org; Domain=example.com"],
            "/shop",
            "a=b",
        ),
        (
            &["a=b; Domain=example.com; Domain=example.org"],
            "/shop",
            "",
        ),
        (&["a=b; Domain=example.org; Domain="], "/shop", "a=b"),
    ]);
}

#[test]
fn an_address_has_no_parents_and_names_itself_alone() {
    let hosts = ["127.0.0.1", "device.localhost", "[::1]"];
    for (domain, taken) in [
        ("127.0.0.1", true),
        ("[::1]", true),
        ("0.0.1", false),
        ("1", false),
        ("127.0.0.2", false),
        ("localhost", true),
    ] {
        let mut table = Table::of(Site::new("t", hosts, ""));
        table.set("/", &[&format!("a=b; Domain={domain}")]);
        assert_eq!(table.get("/") == "a=b", taken, "{domain}");
        let wanted = (taken && domain == "localhost").then(|| domain.to_owned());
        let list = table.list().cookies;
        assert_eq!(
            list.first().and_then(|cookie| cookie.domain.clone()),
            wanted
        );
    }
}

#[test]
fn a_cookie_with_a_domain_is_another_than_the_one_without() {
    check(&[
        (&["a=1", "a=2; Domain=example.com"], "/shop", "a=1; a=2"),
        (
            &["a=1; Domain=example.com", "a=2; Domain=.EXAMPLE.com"],
            "/shop",
            "a=2",
        ),
        (
            &["a=1", "a=2; Domain=example.com", "a=; Max-Age=0"],
            "/shop",
            "a=2",
        ),
    ]);
}

#[test]
fn names_that_promise_something_are_refused_where_it_is_not_kept() {
    for (line, taken) in [
        ("__Secure-a=b; Secure", true),
        ("__Secure-a=b", false),
        ("__SeCuRe-a=b", false),
        ("__Secure-a=b; Secure; Path=/x; Domain=example.com", true),
        ("__Host-a=b; Secure; Path=/", true),
        ("__host-a=b; Secure; Path=/", true),
        ("__Host-a=b; Path=/", false),
        ("__HOST-a=b; Path=/", false),
        ("__Host-a=b; Secure", false),
        ("__Host-a=b; Secure; Path=/x", false),
        ("__Host-a=b; Secure; Path=/; Domain=example.com", false),
        ("__Host-=b; Secure; Path=/", true),
        ("__Host-=b", false),
        ("__Hosta=b", true),
        ("__Host-a; Secure; Path=/", false),
        ("=__Host-a=b; Secure; Path=/", false),
        ("=__secure-a=b; Secure", false),
        ("x__Host-a=b", true),
    ] {
        let mut table = Table::new();
        table.set("/x/y", &[line]);
        assert_eq!(!table.get("/x/y").is_empty(), taken, "{line}");
        let mut table = Table::new();
        table.script("/x/y", &[line]);
        assert_eq!(!table.get("/x/y").is_empty(), taken, "{line} by a script");
    }
}

#[test]
fn max_age_goes_before_expires_and_what_is_neither_says_nothing() {
    // START is in March 2030.
    for (attributes, lives) in [
        ("", None),
        ("Max-Age=60", Some(60)),
        (
            "max-age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            Some(60),
        ),
        (
            "Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60",
            Some(60),
        ),
        ("Max-Age=30; Max-Age=60", Some(60)),
        ("Max-Age=60; Max-Age=x", Some(60)),
        ("Max-Age=0", Some(0)),
        ("Max-Age=-1", Some(0)),
        ("Max-Age=-", None),
        ("Max-Age=+60", None),
        ("Max-Age=6O", None),
        ("Max-Age=1.5", None),
        ("Max-Age=", None),
        ("Max-Age", None),
        ("Max-Age=99999999999999999999999999", Some(400 * 86_400)),
        ("Max-Age=34560001", Some(400 * 86_400)),
        ("Expires=Fri, 31 Dec 9999 23:59:59 GMT", Some(400 * 86_400)),
        ("Expires=Sun, 17 Mar 2030 17:47:40 GMT", Some(60)),
        ("Expires=Sun, 17 Mar 2030 17:46:40 GMT", Some(0)),
        ("Expires=soon", None),
        (
            "Expires=Sun, 17 Mar 2030 17:47:40 GMT; Expires=soon",
            Some(60),
        ),
    ] {
        let mut table = Table::new();
        table.set("/", &[&format!("a=b; {attributes}")]);
        let list = table.list();
        let left = list.cookies.first().map(|cookie| {
            let expires = cookie.expires?;
            Some((expires.0 - table.now.0) / 1000)
        });
        let wanted = match lives {
            Some(0) => None,
            other => Some(other),
        };
        assert_eq!(left, wanted, "{attributes}");
    }
}

#[test]
fn a_cookie_is_gone_when_its_time_is_over() {
    let mut table = Table::new();
    table.set("/", &["a=b; Max-Age=60", "c=d"]);
    table.wait(Duration::from_millis(59_999));
    assert_eq!(table.get("/"), "a=b; c=d");
    table.wait(Duration::from_millis(1));
    assert_eq!(table.get("/"), "c=d");
    assert_eq!(table.visible(), ["c=d"]);
}

#[test]
fn what_other_sites_cause_carries_what_same_site_allows() {
    let lines = [
        "strict=1; SameSite=Strict",
        "lax=1; SameSite=lAx",
        "none=1; SameSite=None; Secure",
        "unsaid=1",
        "unknown=1; SameSite=Sometimes",
        "last=1; SameSite=Lax; SameSite=Strict",
    ];
    let mut table = Table::new();
    table.set("/", &lines);
    for (relation, wanted) in [
        (
            Relation::Same,
            "strict=1; lax=1; none=1; unsaid=1; unknown=1; last=1",
        ),
        (Relation::Followed, "lax=1; none=1; unsaid=1; unknown=1"),
        (Relation::Foreign, ""),
    ] {
        assert_eq!(table.get_for(1, relation, "/"), wanted, "{relation:?}");
    }
    for (relation, wanted) in [
        (
            Relation::Followed,
            "strict=1; lax=1; none=1; unsaid=1; unknown=1; last=1",
        ),
        (Relation::Foreign, "none=1"),
    ] {
        let mut table = Table::new();
        table.set_for(1, relation, "/", &lines);
        assert_eq!(table.get("/"), wanted, "set by {relation:?}");
    }
}

#[test]
fn same_site_none_without_secure_is_refused() {
    check(&[
        (&["a=b; SameSite=None"], "/shop", ""),
        (&["a=b; SameSite=None; secure"], "/shop", "a=b"),
        (&["a=b; SameSite=None; SameSite=Lax"], "/shop", "a=b"),
    ]);
}

#[test]
fn a_base_path_comes_off_the_paths_of_cookies() {
    for (path, wanted) in [
        ("/app", "/"),
        ("/app/", "/"),
        ("/app/x", "/x"),
        ("/", "/"),
        ("/application", "/application"),
        ("/x", "/x"),
    ] {
        let mut table = Table::of(Site::new("t", ["h"], "/app"));
        table.set("/", &[&format!("a=b; Path={path}")]);
        assert_eq!(table.list().cookies[0].path, wanted, "{path}");
    }
    let mut table = Table::of(Site::new("t", ["h"], "/a/b"));
    table.set("/x/y", &["a=b; Path=/a", "c=d"]);
    let paths: Vec<_> = table.list().cookies.into_iter().map(|c| c.path).collect();
    assert_eq!(paths, ["/", "/x"]);
}
