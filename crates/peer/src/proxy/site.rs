//! Which site a request comes from, and how it looks to the target.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{ORIGIN, REFERER},
};
use url::Url;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// The device's origin in browsers, and the target's own.
#[derive(Debug)]
pub(super) struct Sites {
    device: String,
    /// Origin and base path of an HTTP target, without a trailing slash.
    target: Option<(String, String)>,
}

impl Sites {
    pub(super) fn new(device: &Url, target: Option<(String, String)>) -> Self {
        Self {
            device: device.origin().ascii_serialization(),
            target,
        }
    }

    /// Whether another site's page caused this request, and it is more than a link that somebody followed.
    ///
    /// Browsers send `Origin` with everything but plain GET navigations and same-origin reads, so a foreign one means a
    /// form, a script or a preflight of another site. Requests without any mark come from native callers, or from the
    /// browser side, which has judged them before.
    pub(super) fn is_forged(&self, method: &Method, fields: &HeaderMap) -> bool {
        if self.has_foreign_origin(fields) {
            return true;
        }
        let followed_link = matches!(*method, Method::GET | Method::HEAD) && is_navigation(fields);
        is_cross_site(fields) && !followed_link
    }

    /// As [`Self::is_forged`], for a WebSocket: nobody follows a link to one, and the browser's own checks of what may be
    /// read across origins do not hold for it.
    pub(super) fn is_forged_socket(&self, fields: &HeaderMap) -> bool {
        self.has_foreign_origin(fields) || is_cross_site(fields)
    }

    fn has_foreign_origin(&self, fields: &HeaderMap) -> bool {
        let mut origins = fields.get_all(ORIGIN).iter();
        origins.any(|origin| origin.as_bytes() != self.device.as_bytes())
    }

    /// Makes `Origin` and `Referer` what the target expects of its own pages: apps compare them against forgery.
    ///
    /// A referrer of another site is left as it is; it is true, and says so.
    pub(super) fn translate(&self, fields: &mut HeaderMap) {
        let Some((origin, base)) = &self.target else {
            return;
        };
        if fields.contains_key(ORIGIN)
            && let Ok(value) = HeaderValue::try_from(origin)
        {
            fields.insert(ORIGIN, value);
        }
        let translated = fields
            .get(REFERER)
            .and_then(|value| value.to_str().ok())
            .and_then(|referrer| {
                let path = referrer.strip_prefix(&self.device)?;
                let path = if path.is_empty() { "/" } else { path };
                path.starts_with('/')
                    .then(|| HeaderValue::try_from(format!("{origin}{base}{path}")).ok())?
            });
        if let Some(value) = translated {
            fields.insert(REFERER, value);
        }
    }

    /// Makes a `Location` that leads to the target itself relative to the device's origin; any other stays as it is.
    ///
    /// `path` is the request's, as the target saw it. Locations inside the target but above its base are no part of
    /// what is exposed: they stay absolute, and nobody follows them here.
    pub(super) fn location(&self, value: &HeaderValue, path: &str) -> Option<HeaderValue> {
        let (origin, base) = self.target.as_ref()?;
        let asked = Url::parse(origin).ok()?.join(path).ok()?;
        let location = asked.join(value.to_str().ok()?).ok()?;
        if location.origin() != asked.origin() {
            return None;
        }
        let rest = location.path().strip_prefix(base.as_str())?;
        // `//x` would be read as a host by the browser
        let mut relative = match rest.strip_prefix('/') {
            Some(_) if rest.starts_with("//") => format!("/.{rest}"),
            Some(_) => rest.to_owned(),
            None if rest.is_empty() => "/".to_owned(),
            None => return None,
        };
        if let Some(query) = location.query() {
            relative.extend(["?", query]);
        }
        if let Some(fragment) = location.fragment() {
            relative.extend(["#", fragment]);
        }
        HeaderValue::try_from(relative).ok()
    }
}

/// Whether another site's page caused a request: another device's too, although both are of one domain.
pub(super) fn is_cross_site(fields: &HeaderMap) -> bool {
    fields
        .get_all(SEC_FETCH_SITE)
        .iter()
        .any(|site| site != "same-origin" && site != "none")
}

/// Whether a request is for what the person looks at next, as far as it says so.
pub(super) fn is_navigation(fields: &HeaderMap) -> bool {
    fields
        .get_all(SEC_FETCH_MODE)
        .iter()
        .all(|mode| mode == "navigate")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: &str = "http://abc.localhost:9000";

    fn sites(base: &str) -> Sites {
        let device = Url::parse(DEVICE).expect("a URL");
        Sites::new(
            &device,
            Some(("http://127.0.0.1:8080".to_owned(), base.to_owned())),
        )
    }

    fn fields(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter()
            .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)))
            .collect()
    }

    #[test]
    fn a_post_of_another_site_is_forged_and_one_of_the_app_is_not() {
        let forged = |method: Method, list: &[_]| sites("").is_forged(&method, &fields(list));
        assert!(forged(Method::POST, &[("origin", "https://evil.example")]));
        assert!(forged(Method::POST, &[("origin", "null")]));
        assert!(forged(
            Method::POST,
            &[("origin", "http://abc.localhost:9000.evil.example")]
        ));
        assert!(
            forged(Method::POST, &[("origin", "http://xyz.localhost:9000")]),
            "another device is another site"
        );
        assert!(forged(
            Method::POST,
            &[("origin", DEVICE), ("origin", "https://evil.example")]
        ));
        assert!(forged(
            Method::POST,
            &[
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "navigate")
            ]
        ));
        assert!(forged(Method::DELETE, &[("sec-fetch-site", "same-site")]));
        assert!(!forged(
            Method::POST,
            &[("origin", DEVICE), ("sec-fetch-site", "same-origin")]
        ));
        assert!(!forged(Method::POST, &[]), "native callers send no marks");
    }

    #[test]
    fn a_link_from_another_site_may_be_followed_but_not_read_by_its_scripts() {
        let forged = |list: &[_]| sites("").is_forged(&Method::GET, &fields(list));
        assert!(!forged(&[
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate")
        ]));
        assert!(!forged(&[("sec-fetch-site", "none")]));
        assert!(forged(&[
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "no-cors")
        ]));
        assert!(forged(&[("origin", "https://evil.example")]));
    }

    #[test]
    fn the_target_sees_its_own_origin_and_referrer() {
        let mut seen = fields(&[
            ("origin", DEVICE),
            ("referer", "http://abc.localhost:9000/a?b=c"),
        ]);
        sites("/base").translate(&mut seen);
        assert_eq!(seen.get(ORIGIN).expect("kept"), "http://127.0.0.1:8080");
        assert_eq!(
            seen.get(REFERER).expect("kept"),
            "http://127.0.0.1:8080/base/a?b=c"
        );
    }

    #[test]
    fn a_foreign_referrer_is_not_made_the_targets_own() {
        for foreign in [
            "https://evil.example/",
            "http://abc.localhost:9000.evil.example/",
            "http://abc.localhost:90001/",
        ] {
            let mut seen = fields(&[("referer", foreign)]);
            sites("").translate(&mut seen);
            assert_eq!(seen.get(REFERER).expect("kept"), foreign);
        }
    }

    #[test]
    fn redirects_of_the_target_stay_on_the_device_and_others_are_left_alone() {
        let at = |base: &str, path: &str, value: &'static str| {
            sites(base)
                .location(&HeaderValue::from_static(value), path)
                .map(|v| v.to_str().expect("text").to_owned())
        };
        assert_eq!(
            at("", "/", "http://127.0.0.1:8080/x?y#z").as_deref(),
            Some("/x?y#z")
        );
        assert_eq!(at("", "/a/b", "c").as_deref(), Some("/a/c"));
        assert_eq!(at("", "/a", "//127.0.0.1:8080/x").as_deref(), Some("/x"));
        assert_eq!(
            at("", "/a", "http://127.0.0.1:8080//evil.example/").as_deref(),
            Some("/.//evil.example/")
        );
        assert_eq!(at("/base", "/base/a", "/base/b").as_deref(), Some("/b"));
        assert_eq!(at("/base", "/base/a", "/base").as_deref(), Some("/"));
        for elsewhere in [
            "https://evil.example/",
            "//evil.example/",
            "http://127.0.0.1:9/x",
            "https://127.0.0.1:8080/",
        ] {
            assert_eq!(at("", "/", elsewhere), None, "{elsewhere}");
        }
        assert_eq!(at("/base", "/base/a", "/other"), None);
        assert_eq!(at("/base", "/base/a", "/basement"), None);
    }
}
