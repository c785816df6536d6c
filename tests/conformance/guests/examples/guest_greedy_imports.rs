//! Imports an interface that the contract does not have.

wit_bindgen::generate!({
    inline: r#"
        package pgloom:plugin@0.2.0;
        interface secrets {
            get: func(name: string) -> string;
        }
        interface mutate-resources {
            describe: func() -> string;
        }
        world plugin {
            import secrets;
            export mutate-resources;
        }
    "#,
});

struct Guest;

impl exports::pgloom::plugin::mutate_resources::Guest for Guest {
    fn describe() -> String {
        pgloom::plugin::secrets::get("postgres")
    }
}

#[cfg(target_arch = "wasm32")]
export!(Guest);
