//! Files in `vectors/` that are written here and replayed in other languages.

use serde_json::Value;

/// Fails when the file in the tree is not `current`; with `UPDATE_VECTORS=1` in the environment it writes the file instead.
pub(crate) fn assert_current(name: &str, current: &Value) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../vectors")
        .join(name);
    let text = format!("{current:#}\n");
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(&path, text).unwrap();
    } else {
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            stored == text,
            "vectors/{name} is not what the code says: UPDATE_VECTORS=1 cargo test rewrites it"
        );
    }
}
