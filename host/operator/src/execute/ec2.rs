//! Cloud volumes, by three calls of [Amazon EC2](https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Welcome.html).
//!
//! Why not the crate `aws-sdk-ec2`: three calls of its several hundred are needed. Credentials and signatures are those
//! of the crate `reqsign-aws-v4`.

pub mod answer;
pub mod client;
mod credentials;
#[cfg(test)]
pub mod testing;

pub use client::Ec2;

/// The most bytes of a message of AWS that are kept.
const MAX_MESSAGE: usize = 400;
/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// A cloud volume as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// As in `vol-0123456789abcdef0`.
    pub id: String,
    /// The size in GiB.
    pub size: i64,
    /// I/O operations per second, of the types that have a number of them.
    pub iops: Option<u32>,
    /// MiB per second, of the types that have one.
    pub throughput: Option<u32>,
    /// As in `gp3`.
    pub volume_type: String,
}

/// The state of a modification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The volume does not have its new size yet.
    Modifying,
    /// The volume has its new size, and gets its new performance.
    Optimizing,
    /// The modification is complete.
    Completed,
    /// The modification failed.
    Failed,
}

/// The last modification of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Modification {
    /// The id of the volume.
    pub volume: String,
    /// The state.
    pub state: State,
    /// Why it failed; may be empty.
    pub message: String,
    /// Percent.
    pub progress: u8,
    /// When it began, in the form of RFC 3339; may be empty.
    pub began: String,
}

/// What is changed of a volume; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The id of the volume.
    pub volume: String,
    /// The size in GiB.
    pub size: Option<i64>,
    /// I/O operations per second.
    pub iops: Option<u32>,
    /// MiB per second.
    pub throughput: Option<u32>,
    /// As in `gp3`.
    pub volume_type: Option<String>,
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The region is not the name of one.
    #[error("aws_region: {0:?} is not a region; write one as in eu-central-1")]
    Region(String),
    /// The endpoint of the environment is no URL.
    #[error("{0:?} is not an address: set AWS_ENDPOINT_URL_EC2 to an http or https URL")]
    Endpoint(String),
    /// No source of credentials gave any.
    #[error(
        "there are no credentials for AWS: {0}; give the operator's pod a role, by its service account or its node, or the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )]
    Credentials(String),
    /// There is no answer.
    #[error("AWS does not answer: {0}")]
    Reach(String),
    /// The answer cannot be read.
    #[error("the answer of AWS to {action} cannot be read: {reason}")]
    Answer {
        /// As in `ModifyVolume`.
        action: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// AWS refused the call.
    #[error("AWS refuses {action}: {code}: {message}")]
    Refused {
        /// As in `ModifyVolume`.
        action: &'static str,
        /// As in `UnauthorizedOperation`.
        code: String,
        /// AWS' message.
        message: String,
    },
}

/// Codes of [errors](https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html) that pass by themselves.
const PASSING: [&str; 9] = [
    "EC2ThrottledException",
    "InternalError",
    "InternalFailure",
    "RequestLimitExceeded",
    "RequestThrottled",
    "ServiceUnavailable",
    "Throttling",
    "ThrottlingException",
    "Unavailable",
];

impl Error {
    /// Whether the same call may succeed soon: there was no answer, or there are too many requests.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Reach(_) => true,
            Self::Refused { code, .. } => PASSING.contains(&code.as_str()),
            _ => false,
        }
    }

    /// Whether the volume was changed so recently that AWS does not change it again yet.
    pub fn is_cooldown(&self) -> bool {
        let codes = ["VolumeModificationRateExceeded", "IncorrectModificationState"];
        matches!(self, Self::Refused { code, .. } if codes.contains(&code.as_str()))
    }
}
