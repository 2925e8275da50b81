//! Whose origin a request is for. Decided by the `Host` header alone: it is what the browser isolates origins by.

use http::Request;
use http::header::HOST;
use http::uri::Authority;
use peerage_proto::wire::id::DeviceId;

/// The device whose origin is meant: `<device id>.<domain>` or `<device id>.localhost`, with any port.
pub(crate) fn device_of<B>(request: &Request<B>, domain: Option<&str>) -> Option<DeviceId> {
    // An absolute-form target counts for more than Host (RFC 9112 section 3.2.2).
    let authority = match request.uri().authority() {
        Some(authority) => authority.clone(),
        None => Authority::try_from(request.headers().get(HOST)?.as_bytes()).ok()?,
    };
    let host = authority.host().to_ascii_lowercase();
    let (label, rest) = host.split_once('.')?;
    let ours =
        rest == "localhost" || domain.is_some_and(|domain| domain.eq_ignore_ascii_case(rest));
    if ours {
        DeviceId::parse(label).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn is_device(host: &str) -> bool {
        let request = Request::builder()
            .uri("/")
            .header(HOST, host)
            .body(())
            .unwrap();
        device_of(&request, Some("Devices.example")).is_some()
    }

    #[test]
    fn a_key_shaped_label_before_the_domain_or_localhost_is_a_device() {
        for rest in [
            "localhost",
            "localhost:9000",
            "devices.example",
            "DEVICES.example:443",
        ] {
            assert!(is_device(&format!("{ID}.{rest}")), "{rest}");
            assert!(
                is_device(&format!("{}.{rest}", ID.to_uppercase())),
                "{rest}"
            );
        }
    }

    #[test]
    fn anything_else_is_the_server_itself() {
        let short = &ID[1..];
        let bits = format!("{}b.localhost", &ID[1..]);
        for host in [
            "localhost",
            "devices.example",
            ID,
            "",
            "[::1]:9000",
            "a b",
            bits.as_str(),
        ] {
            assert!(!is_device(host), "{host}");
        }
        for host in [
            format!("{short}.localhost"),
            format!("{ID}.other.example"),
            format!("x.{ID}.localhost"),
            format!("{ID}..localhost"),
        ] {
            assert!(!is_device(&host), "{host}");
        }
    }

    #[test]
    fn an_absolute_target_counts_for_more_than_the_host_header() {
        let request = Request::builder()
            .uri(format!("http://{ID}.localhost/"))
            .header(HOST, "localhost")
            .body(())
            .unwrap();
        assert!(device_of(&request, None).is_some());
    }
}
