//! Imports what WASI has of the machine, the clock, random numbers, the environment and sockets, and contributes what it
//! finds there. With the configuration `{"greeting":"connect"}` it opens a socket, too.

use exports::pgloom::plugin::mutate_resources::{
    Contribution, Description, Failure, Guest, HostInfo, ObjectKind, ObjectPermission, Request, Response,
};

wit_bindgen::generate!({
    path: "../../../wit/0.2",
    inline: r#"
        package conformance:guests;

        world machine {
            include pgloom:plugin/plugin@0.2.0;
            import wasi:clocks/wall-clock@0.2.0;
            import wasi:random/random@0.2.0;
            import wasi:cli/environment@0.2.0;
            import wasi:filesystem/preopens@0.2.0;
            import wasi:sockets/tcp-create-socket@0.2.0;
        }

        package wasi:clocks@0.2.0 {
            interface wall-clock {
                record datetime { seconds: u64, nanoseconds: u32 }
                now: func() -> datetime;
            }
        }
        package wasi:random@0.2.0 {
            interface random { get-random-u64: func() -> u64; }
        }
        package wasi:cli@0.2.0 {
            interface environment { get-environment: func() -> list<tuple<string, string>>; }
        }
        package wasi:filesystem@0.2.0 {
            interface preopens { get-directories: func() -> list<tuple<u32, string>>; }
        }
        package wasi:sockets@0.2.0 {
            interface tcp-create-socket {
                variant error { unknown, other(string) }
                create-tcp-socket: func() -> error;
            }
        }
    "#,
    world: "conformance:guests/machine",
    generate_all,
});

struct Machine;

impl Guest for Machine {
    fn describe(host: HostInfo) -> Result<Description, String> {
        let _ = host;
        Ok(Description {
            name: "machine".to_owned(),
            version: "0.1.0".to_owned(),
            summary: "Contributes what it finds of the machine.".to_owned(),
            config_schema: r#"{"type":"object"}"#.to_owned(),
            config_example: "{}".to_owned(),
            config_keys: Vec::new(),
            credentials: Vec::new(),
            relevant: Vec::new(),
            desired: Vec::new(),
            observed: Vec::new(),
            objects: vec![ObjectPermission {
                kind: ObjectKind { api_version: "v1".to_owned(), kind: "ConfigMap".to_owned() },
                names: vec!["{cluster}-*".to_owned()],
                creates: true,
                fields: Vec::new(),
                overrides: Vec::new(),
                removes: Vec::new(),
                optional: false,
            }],
            privileges: Vec::new(),
            actions: Vec::new(),
            requires: Vec::new(),
        })
    }

    fn mutate(request: Request) -> Result<Response, Failure> {
        if request.config.contains("connect") {
            let error = wasi::sockets::tcp_create_socket::create_tcp_socket();
            return Err(Failure::Internal(format!("no socket: {error:?}")));
        }
        let now = wasi::clocks::wall_clock::now();
        let found = format!(
            "time {}.{}, random {}, environment {:?}, folders {:?}",
            now.seconds,
            now.nanoseconds,
            wasi::random::random::get_random_u64(),
            wasi::cli::environment::get_environment(),
            wasi::filesystem::preopens::get_directories(),
        );
        let object = pgloom_kit::json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "acid-orders-machine"},
            "data": {"found": found},
        });
        Ok(Response {
            contributions: vec![Contribution::Apply(object.to_string())],
            actions: Vec::new(),
            findings: Vec::new(),
            conditions: Vec::new(),
        })
    }
}

#[cfg(target_arch = "wasm32")]
export!(Machine);
