//! Exports another version of the contract.

wit_bindgen::generate!({
    inline: r#"
        package pgloom:plugin@0.9.0;
        interface mutate-resources {
            describe: func() -> string;
        }
        world plugin {
            export mutate-resources;
        }
    "#,
});

struct Guest;

impl exports::pgloom::plugin::mutate_resources::Guest for Guest {
    fn describe() -> String {
        "from the future".to_owned()
    }
}

#[cfg(target_arch = "wasm32")]
export!(Guest);
