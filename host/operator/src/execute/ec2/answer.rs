//! The answers of EC2: XML, of which only what is used is read.

use pgloom_common::error::one_line;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Error, MAX_MESSAGE, Modification, State, Volume};

/// A list, whose entries are all called `item`.
#[derive(Deserialize)]
struct Items<T> {
    #[serde(default = "Vec::new")]
    item: Vec<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Volumes {
    volume_set: Option<Items<VolumeItem>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VolumeItem {
    volume_id: String,
    #[serde(default)]
    size: String,
    #[serde(default)]
    iops: String,
    #[serde(default)]
    throughput: String,
    #[serde(default)]
    volume_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Modifications {
    volume_modification_set: Option<Items<ModificationItem>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Modified {
    volume_modification: ModificationItem,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ModificationItem {
    volume_id: String,
    #[serde(default)]
    modification_state: String,
    #[serde(default)]
    status_message: String,
    #[serde(default)]
    progress: String,
    #[serde(default)]
    start_time: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Refusal {
    errors: Errors,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Errors {
    error: ErrorItem,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorItem {
    code: String,
    #[serde(default)]
    message: String,
}

/// The answer to `DescribeVolumes`.
///
/// # Errors
/// If it is no such answer.
pub fn volumes(xml: &str) -> Result<Vec<Volume>, Error> {
    const ACTION: &str = "DescribeVolumes";
    let volumes: Volumes = read(ACTION, xml)?;
    let items = volumes.volume_set.map(|set| set.item).unwrap_or_default();
    let volume = |item: VolumeItem| {
        let size = item.size.parse().map_err(|_| unreadable(ACTION, &format!("{:?} is no size", item.size)))?;
        Ok(Volume {
            id: item.volume_id,
            size,
            iops: item.iops.parse().ok(),
            throughput: item.throughput.parse().ok(),
            volume_type: item.volume_type,
        })
    };
    items.into_iter().map(volume).collect()
}

/// The answer to `DescribeVolumesModifications`.
///
/// # Errors
/// If it is no such answer.
pub fn modifications(xml: &str) -> Result<Vec<Modification>, Error> {
    const ACTION: &str = "DescribeVolumesModifications";
    let found: Modifications = read(ACTION, xml)?;
    let items = found.volume_modification_set.map(|set| set.item).unwrap_or_default();
    items.into_iter().map(|item| modification(ACTION, item)).collect()
}

/// The answer to `ModifyVolume`.
///
/// # Errors
/// If it is no such answer.
pub fn modified(xml: &str) -> Result<Modification, Error> {
    const ACTION: &str = "ModifyVolume";
    let Modified { volume_modification } = read(ACTION, xml)?;
    modification(ACTION, volume_modification)
}

/// Why a call was refused.
pub fn refusal(action: &'static str, status: u16, xml: &str) -> Error {
    let (code, message) = match quick_xml::de::from_str(xml) {
        Ok(Refusal { errors: Errors { error: ErrorItem { code, message } } }) => (code, message),
        // As of a proxy.
        Err(_) if status >= 500 => ("ServiceUnavailable".to_owned(), format!("status {status}")),
        Err(_) => ("Unknown".to_owned(), format!("status {status}")),
    };
    Error::Refused { action, code: one_line(&code, MAX_MESSAGE), message: one_line(&message, MAX_MESSAGE) }
}

fn modification(action: &'static str, item: ModificationItem) -> Result<Modification, Error> {
    let state = match item.modification_state.as_str() {
        "modifying" => State::Modifying,
        "optimizing" => State::Optimizing,
        "completed" => State::Completed,
        "failed" => State::Failed,
        other => return Err(unreadable(action, &format!("{other:?} is no state of a modification"))),
    };
    Ok(Modification {
        volume: item.volume_id,
        state,
        message: one_line(&item.status_message, MAX_MESSAGE),
        progress: item.progress.parse().unwrap_or_default(),
        began: item.start_time,
    })
}

fn read<T: DeserializeOwned>(action: &'static str, xml: &str) -> Result<T, Error> {
    quick_xml::de::from_str(xml).map_err(|error| unreadable(action, &error.to_string()))
}

fn unreadable(action: &'static str, reason: &str) -> Error {
    Error::Answer { action, reason: one_line(reason, MAX_MESSAGE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_read_with_what_their_type_has() {
        let xml = r#"<DescribeVolumesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId>
          <volumeSet>
            <item><volumeId>vol-1</volumeId><size>80</size><attachmentSet><item><volumeId>vol-1</volumeId></item></attachmentSet>
              <volumeType>gp3</volumeType><iops>3000</iops><throughput>125</throughput></item>
            <item><volumeId>vol-2</volumeId><size>1</size><snapshotId/><volumeType>standard</volumeType></item>
          </volumeSet></DescribeVolumesResponse>"#;
        let volume = |id: &str, size, iops, throughput, volume_type: &str| Volume {
            id: id.into(),
            size,
            iops,
            throughput,
            volume_type: volume_type.into(),
        };
        let expected = [volume("vol-1", 80, Some(3000), Some(125), "gp3"), volume("vol-2", 1, None, None, "standard")];
        assert_eq!(volumes(xml).unwrap(), expected);
        assert_eq!(volumes("<DescribeVolumesResponse><volumeSet/></DescribeVolumesResponse>").unwrap(), []);
        assert!(matches!(volumes("<html"), Err(Error::Answer { action: "DescribeVolumes", .. })));
    }

    #[test]
    fn modifications_are_read_with_state_progress_and_begin() {
        let item = "<volumeId>vol-1</volumeId><modificationState>modifying</modificationState><progress>40</progress>\
                    <targetSize>5</targetSize><startTime>2031-05-17T01:00:00.000Z</startTime>";
        let expected = Modification {
            volume: "vol-1".into(),
            state: State::Modifying,
            message: String::new(),
            progress: 40,
            began: "2031-05-17T01:00:00.000Z".into(),
        };
        let one =
            format!("<ModifyVolumeResponse><volumeModification>{item}</volumeModification></ModifyVolumeResponse>");
        assert_eq!(modified(&one).unwrap(), expected);
        let set = format!("<R><volumeModificationSet><item>{item}</item></volumeModificationSet></R>");
        assert_eq!(modifications(&set).unwrap(), [expected]);
        assert_eq!(modifications("<R></R>").unwrap(), []);
        assert!(modified(&one.replace("modifying", "dancing")).is_err());
    }

    #[test]
    fn a_refusal_has_its_code_and_one_line_of_its_message() {
        let xml = "<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>Too\nmany</Message></Error></Errors></Response>";
        let error = refusal("ModifyVolume", 503, xml);
        assert_eq!(error.to_string(), "AWS refuses ModifyVolume: RequestLimitExceeded: Too many");
        assert!(error.is_passing() && !error.is_cooldown());
        assert!(refusal("ModifyVolume", 502, "<html>").is_passing());
        assert!(!refusal("ModifyVolume", 404, "nothing here").is_passing());
    }
}
