//! Primitives and links.

use super::{SECRET, caller, device, hex, scalar, thief};
use peerage_proto::{
    identity::{Kid, Secret},
    wire::{base32, id::is_key_shaped, link_url::Link},
};
use serde_json::{Value, json};

pub(super) fn base32_cases() -> Value {
    let good: Vec<_> = [
        "",
        "66",
        "666f",
        "666f6f",
        "666f6f62",
        "666f6f6261",
        "ff",
        "0000000000",
        "0102030405060708",
    ]
    .iter()
    .map(|hex| {
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
            .collect();
        json!({ "bytesHex": hex, "text": base32::encode(&bytes) })
    })
    .collect();
    let bad: Vec<_> = [
        ("MY", "upper case"),
        ("my======", "padding characters"),
        ("mz", "unused bits are not zero"),
        ("a", "no whole byte"),
        ("abc", "a length that no byte string has"),
        ("m1", "1 is not in the alphabet"),
        ("m8", "8 is not in the alphabet"),
    ]
    .iter()
    .map(|(text, why)| {
        assert_eq!(base32::decode(text), None, "{text}");
        json!({ "text": text, "why": why })
    })
    .collect();
    json!({ "good": good, "bad": bad })
}

pub(super) fn keys() -> Value {
    [
        ("device", device(), scalar(1)),
        ("caller", caller(), scalar(2)),
        ("thief", thief(), scalar(3)),
    ]
    .into_iter()
    .map(|(name, key, scalar)| {
        json!({
            "name": name,
            "privateHex": hex(scalar),
            "pkcs8Pem": key.to_pem().unwrap().as_str(),
            "publicHex": hex(key.public_key().as_bytes()),
            "id": key.device_id(),
        })
    })
    .collect()
}

pub(super) fn ids() -> Value {
    let id = device().device_id().to_string();
    let last_bit = format!("{}b", &id[..51]);
    [
        (id.clone(), true, "a device id"),
        (
            "a".repeat(52),
            true,
            "any 52 characters with zero padding bits have the shape",
        ),
        (last_bit, false, "padding bits are not zero"),
        (id.to_uppercase(), false, "upper case"),
        (id[..51].to_owned(), false, "one character short"),
        (format!("{id}a"), false, "one character too many"),
        (
            id.replacen(&id[..1], "1", 1),
            false,
            "a character outside the alphabet",
        ),
        ("alice".to_owned(), false, "any other id"),
    ]
    .into_iter()
    .map(|(text, key_shaped, why)| {
        assert_eq!(is_key_shaped(&text), key_shaped, "{why}");
        json!({ "text": text, "keyShaped": key_shaped, "why": why })
    })
    .collect()
}

pub(super) fn secrets() -> Value {
    let derive = |secret: &str, info: &[u8], out: &mut [u8]| {
        hkdf::Hkdf::<sha2::Sha256>::new(None, secret.as_bytes())
            .expand(info, out)
            .unwrap();
    };
    let good: Vec<_> = [(SECRET, device()), (SECRET, thief()), ("aaaaaaaaaaaaaaaaaaaaaaaaaa", device())]
        .into_iter()
        .map(|(text, key)| {
            let (secret, id) = (Secret::parse(text).unwrap(), key.device_id());
            // Derived a second time, by the words of the document.
            let (mut kid, mut mac_key) = ([0; 8], [0; 32]);
            derive(text, b"peerage/1 kid", &mut kid);
            derive(text, &[b"peerage/1 mac\0", id.as_str().as_bytes()].concat(), &mut mac_key);
            assert_eq!(secret.kid(), Kid::new(kid));
            let mac = secret.mac_key(&id).mac(b"statement");
            let check = <hmac::Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(&mac_key);
            let check = hmac::Mac::finalize(hmac::Mac::chain_update(check.unwrap(), b"statement")).into_bytes();
            assert_eq!(mac, check.as_slice());
            json!({ "secret": text, "device": id, "kidHex": hex(kid), "macKeyHex": hex(mac_key), "macOfTextStatementHex": hex(mac) })
        })
        .collect();
    let bad: Vec<_> = [
        ("", "empty"),
        ("k3vq7n2xw5tz4mabcdefghij6", "one character short"),
        ("k3vq7n2xw5tz4mabcdefghij6yy", "one character too many"),
        ("K3vq7n2xw5tz4mabcdefghij6y", "upper case"),
        ("k3vq7n2xw5tz4mabcdefghij61", "1 is not in the alphabet"),
        ("k3vq7n2xw5tz4mabcdefghij6ä", "outside ASCII"),
    ]
    .iter()
    .map(|(text, why)| {
        assert!(Secret::parse(text).is_err());
        json!({ "text": text, "why": why })
    })
    .collect();
    json!({ "good": good, "bad": bad })
}

pub(super) fn links() -> Value {
    let id = device().device_id();
    let upper = id.as_str().to_uppercase();
    [
        format!("https://{id}.example.org/#1.{SECRET}"),
        format!("https://{id}.example.org:8443/#1.{SECRET}/docs/?q=a%20b&c#top"),
        format!("http://{id}.localhost:9000/#1.{SECRET}"),
        format!("http://{id}.localhost/#1.{SECRET}/"),
        format!("http://{id}.pi.localhost/#1.{SECRET}"),
        format!("HTTPS://{upper}.Example.ORG:443/#1.{SECRET}"),
        format!("https://{id}.example.org#1.{SECRET}"),
        format!("https://{id}.example.org/"),
        format!("https://{id}.example.org"),
        format!("https://{id}.example.org/docs/page.html?x=1#section"),
        format!("https://{id}.example.org/#section"),
        format!("https://{id}.example.org/#1.{SECRET}/a#1.b"),
    ]
    .into_iter()
    .map(|text| {
        let link = Link::parse(&text).unwrap();
        let Link {
            secure,
            device,
            domain,
            port,
            secret,
            path,
        } = &link;
        json!({
            "text": text,
            "secure": secure,
            "device": device,
            "domain": domain,
            "port": port,
            "secret": secret.as_ref().map(Secret::expose),
            "path": path,
            "canonical": link.to_string(),
            "origin": link.origin(),
            "server": link.server_url(),
        })
    })
    .collect()
}

pub(super) fn bad_links() -> Value {
    let id = device().device_id();
    [
        (String::new(), "empty"),
        (format!("ftp://{id}.example.org/#1.{SECRET}"), "scheme"),
        (format!("{id}.example.org/#1.{SECRET}"), "no scheme"),
        (
            format!("http://{id}.example.org/#1.{SECRET}"),
            "plain http to another machine",
        ),
        (
            format!("http://{id}.localhost.example.org/#1.{SECRET}"),
            "plain http to a name that only begins with localhost",
        ),
        (format!("https://{id}/#1.{SECRET}"), "no domain"),
        (format!("https://{id}./#1.{SECRET}"), "empty domain"),
        (
            format!("https://{id}.example..org/#1.{SECRET}"),
            "empty label",
        ),
        (
            format!("https://{id}.127.0.0.1/#1.{SECRET}"),
            "an address cannot have a name before it",
        ),
        (
            format!("https://{id}.exa_mple.org/"),
            "a character that no domain has",
        ),
        (
            format!("https://user@{id}.example.org/"),
            "user information",
        ),
        (
            format!("https://{}.example.org/#1.{SECRET}", &id.as_str()[1..]),
            "device id one character short",
        ),
        (
            format!("https://{}b.example.org/#1.{SECRET}", &id.as_str()[..51]),
            "device id with padding bits",
        ),
        (format!("https://{id}.example.org:0/"), "port 0"),
        (format!("https://{id}.example.org:65536/"), "port too large"),
        (format!("https://{id}.example.org:/"), "empty port"),
        (format!("https://{id}.example.org:+80/"), "port with a sign"),
        (
            format!("https://{id}.example.org:0443/"),
            "port with a leading zero",
        ),
        (
            format!("https://{id}.example.org/#2.{SECRET}"),
            "another version",
        ),
        (format!("https://{id}.example.org/#1."), "no secret"),
        (
            format!("https://{id}.example.org/#1.{}", &SECRET[1..]),
            "shortened secret",
        ),
        (
            format!("https://{id}.example.org/#1.{SECRET}a"),
            "lengthened secret",
        ),
        (
            format!("https://{id}.example.org/#1.{}", SECRET.to_uppercase()),
            "upper-case secret",
        ),
        (
            format!("https://{id}.example.org/#1.{SECRET}?q"),
            "something else than / after the secret",
        ),
        (
            format!("https://{id}.example.org/a#1.{SECRET}"),
            "a path that a server would see",
        ),
        (
            format!("https://{id}.example.org/#1.{SECRET}//evil.example"),
            "a path that names a host",
        ),
        (
            format!("https://{id}.example.org/#1.{SECRET}/\\evil.example"),
            "a path that names a host to a browser",
        ),
        (
            format!("https://{id}.example.org//evil.example"),
            "a path that names a host",
        ),
        (
            format!("https://{id}.example.org/#1.{SECRET}/a b"),
            "a space",
        ),
        (
            format!("https://{id}.example.org/#1.{SECRET}/a\nb"),
            "a line break",
        ),
        (
            format!("https://{id}.example.org/#1.{SECRET}/ä"),
            "outside ASCII",
        ),
    ]
    .into_iter()
    .map(|(text, why)| {
        let error = Link::parse(&text)
            .map(|link| link.to_string())
            .expect_err(why);
        json!({ "text": text, "why": why, "error": error.to_string() })
    })
    .collect()
}

pub(super) fn signatures() -> Value {
    let bytes = b"peerage";
    let honest = device().sign(bytes);
    let high = high_s(&honest);
    let mut altered = honest;
    altered[10] ^= 1;
    let swapped: Vec<u8> = honest[32..].iter().chain(&honest[..32]).copied().collect();
    [
        ("as signed", "device", bytes.to_vec(), honest.to_vec(), true),
        ("the other of the two values of s", "device", bytes.to_vec(), high.to_vec(), true),
        ("another key", "thief", bytes.to_vec(), honest.to_vec(), false),
        ("other bytes", "device", b"Peerage".to_vec(), honest.to_vec(), false),
        ("one bit altered", "device", bytes.to_vec(), altered.to_vec(), false),
        ("s before r", "device", bytes.to_vec(), swapped, false),
        ("zero", "device", bytes.to_vec(), vec![0; 64], false),
        ("the group order", "device", bytes.to_vec(), [ORDER, ORDER].concat(), false),
    ]
    .into_iter()
    .map(|(name, key, bytes, signature, good)| {
        let public = if key == "device" { device() } else { thief() };
        let signature: [u8; 64] = signature.try_into().unwrap();
        assert_eq!(public.public_key().verify(&bytes, &signature).is_ok(), good, "{name}");
        json!({ "name": name, "publicHex": hex(public.public_key().as_bytes()), "bytesHex": hex(bytes), "signatureHex": hex(signature), "good": good })
    })
    .collect()
}

/// Order of the group of P-256 (SEC 2 section 2.4.2).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The same signature with order − s for s.
fn high_s(signature: &[u8; 64]) -> [u8; 64] {
    let mut other = *signature;
    let mut borrow = 0;
    for index in (0..32).rev() {
        let difference = i32::from(ORDER[index]) - i32::from(signature[32 + index]) - borrow;
        borrow = i32::from(difference < 0);
        other[32 + index] = difference.rem_euclid(256) as u8;
    }
    other
}
