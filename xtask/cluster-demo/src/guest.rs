//! The demo's own module: two versions of a function that counts words, made from text and signed when the demo starts.
//! The private key stays in the parent; workers know the public one.

use crate::modules::Signed;

/// What the parent has made.
pub(crate) struct Guest {
    pub(crate) versions: [Signed; 2],
    /// The public key, as workers are told it.
    pub(crate) key: String,
}

#[cfg(not(feature = "wasm"))]
pub(crate) fn make() -> Result<Guest, String> {
    Err("this build of the demo runs no WebAssembly: run `cargo xtask cluster-demo --with wasm`, which builds it in, or build \
         the package cluster-demo with `--features wasm`"
        .to_owned())
}

/// Which bytes part words, in the two versions.
#[cfg(feature = "wasm")]
const SEPARATES: [&str; 2] =
    ["(i32.eq (local.get $byte) (i32.const 32))", "(i32.le_u (local.get $byte) (i32.const 32))"];

#[cfg(feature = "wasm")]
pub(crate) fn make() -> Result<Guest, String> {
    use crate::modules::{MODULE, VERSIONS};
    use phalanx_drivers::wasm::Signer;

    let (signer, _) = Signer::generate(&phalanx::SystemEntropy::new());
    let sign = |at: usize| {
        let bytes = wat::parse_str(source(SEPARATES[at])).map_err(|error| error.to_string())?;
        let module = signer.sign(MODULE, VERSIONS[at], bytes.clone()).map_err(|error| error.to_string())?;
        let announced = serde_json::to_value(&module.announced).map_err(|error| error.to_string())?;
        Ok::<_, String>(Signed { announced, bytes })
    };
    Ok(Guest { versions: [sign(0)?, sign(1)?], key: signer.key().to_string() })
}

/// A guest that counts the words of its input, as four bytes, the lowest first.
#[cfg(feature = "wasm")]
fn source(separates: &str) -> String {
    format!(
        r#"(module
  (memory (export "memory") 1)
  (func (export "phalanx_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "count") (param $at i32) (param $length i32) (result i64)
    (local $end i32) (local $byte i32) (local $words i32) (local $was_inside i32) (local $is_inside i32)
    (local.set $end (i32.add (local.get $at) (local.get $length)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $byte (i32.load8_u (local.get $at)))
        (local.set $is_inside (i32.eqz {separates}))
        (local.set $words (i32.add (local.get $words)
          (i32.and (local.get $is_inside) (i32.eqz (local.get $was_inside)))))
        (local.set $was_inside (local.get $is_inside))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (i32.store (i32.const 16) (local.get $words))
    (i64.const 0x0000_0010_0000_0004)))"#
    )
}
