//! The plugin in `motto/`, in the style of small components: its tests run here.

use pgloom_kit::{Settings as _, Value, json, serde_json};

#[path = "motto/lib.rs"]
mod motto;
#[path = "motto/settings.rs"]
mod settings;

use settings::Settings;

#[test]
fn the_settings_have_a_schema_and_an_example_that_they_read() {
    let schema: Value = serde_json::from_str(&Settings::schema()).unwrap();
    assert_eq!(schema["properties"]["max_length"]["default"], 80);
    assert_eq!(Settings::read(&Settings::example()).unwrap().max_length, 80);
    assert!(Settings::read(&json!({"max_lenght": 8}).to_string()).is_err());
}
