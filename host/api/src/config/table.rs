//! Every key of the operator configuration, stated once.
//!
//! A key that pgloom does not act on is marked `ignored`; another value than its default is then named in a warning. One
//! that is marked `derived` is filled in by the operator.

use super::key::{Key, Section, ValueType};

/// One line per key: name, value type, default, description, and marks.
macro_rules! keys {
    ($($section:ident { $($name:ident $value_type:ident $(($($choice:literal),+))? = $default:literal: $doc:literal $(<- $was:literal)? $($mark:ident)?;)* })*) => {
        &[$($(Key {
            name: stringify!($name),
            section: Section::$section,
            value_type: ValueType::$value_type $((&[$($choice),+]))?,
            default: $default,
            doc: $doc,
            was: keys!(@was $($was)?),
            honoured: keys!(@honoured $($mark)?),
            derived: keys!(@derived $($mark)?),
        }),*),*]
    };
    (@was) => { None };
    (@was $was:literal) => { Some($was) };
    (@honoured) => { true };
    (@honoured ignored) => { false };
    (@honoured derived) => { true };
    (@derived) => { false };
    (@derived ignored) => { false };
    (@derived derived) => { true };
}

/// Every key, section by section.
pub const KEYS: &[Key] = keys! {
    Top {
        docker_image Text = "ghcr.io/zalando/spilo-18:4.1-p2": "The image of the database containers.";
        sidecar_docker_images Map = "": "Images of sidecars of every pod, by container name. Older than `sidecars`.";
        sidecars Containers = "": "Sidecars of every pod, as whole containers.";
        enable_shm_volume Flag = "true": "Whether `/dev/shm` is a memory volume, unless a manifest says otherwise.";
        etcd_host Text = "": "The etcd server that Patroni keeps its state in. Empty: Patroni keeps it in Kubernetes.";
        kubernetes_use_configmaps Flag = "false": "Whether Patroni keeps its state in ConfigMaps instead of Endpoints.";
        enable_lazy_spilo_upgrade Flag = "false": "Whether pods with an outdated image keep running until something else restarts them.";
        enable_pgversion_env_var Flag = "true": "Whether the pods have the version in the variable `PGVERSION` instead of a path in Spilo's configuration.";
        enable_spilo_wal_path_compat Flag = "false": "Whether the image also searches for archives in the folders of older images.";
        enable_team_id_clustername_prefix Flag = "true": "Whether a cluster's name has to start with its team and a hyphen.";
        set_memory_request_to_limit Flag = "false": "Whether memory requests are raised to the memory limits, so that no node is overcommitted.";
        min_instances Integer = "-1": "The smallest number of pods of a cluster. `-1`: no bound.";
        max_instances Integer = "-1": "The largest number of pods of a cluster. `-1`: no bound.";
        ignore_instance_limits_annotation_key Text = "": "If a cluster has this annotation with the value `true`, `min_instances` and `max_instances` do not apply to it.";
        ignore_resources_limits_annotation_key Text = "": "If a cluster has this annotation with the value `true`, the bounds of resources do not apply to it.";
        workers Integer = "8": "How many clusters are reconciled at the same time." ignored;
        resync_period Duration = "30m": "The time between two reconciles of a cluster if nothing changes.";
        repair_period Duration = "5m": "The longest time between two reconciles of a cluster whose last reconcile failed, or that waits for what is not watched.";
        enable_maintenance_windows Flag = "false": "Whether rolling updates wait for the maintenance windows.";
        maintenance_windows List = "": "The maintenance windows of clusters that have none of their own, as in `Sat:00:00-04:00`.";
        enable_crd_registration Flag = "false": "Whether the operator creates its resource types at start." ignored;
        enable_crd_validation Flag = "true": "Whether the resource types have a schema." ignored;
        crd_categories List = "all": "Categories that list the resource types, as in `kubectl get all`." ignored;
        enable_load_balancer Text = "": "Without effect in every release since 2018." ignored;
    }
    Users {
        super_username Text = "postgres": "The superuser.";
        replication_username Text = "standby": "The role that replicas replicate with.";
        additional_owner_roles List = "": "Roles that every owner of a database or of a prepared schema becomes a member of.";
        enable_password_rotation Flag = "false": "Whether the Secrets of manifest roles and of prepared databases regularly get a new login role. Not those of owners of databases.";
        password_rotation_interval Integer = "90": "After how many days a password changes.";
        password_rotation_user_retention Integer = "180": "For how many days a login role of a rotation is kept, at least twice `password_rotation_interval`.";
    }
    MajorVersionUpgrade {
        major_version_upgrade_mode Choice("off", "manual", "full") = "off": "Whether a newer version in a manifest upgrades the cluster.";
        major_version_upgrade_team_allow_list List = "": "Teams whose clusters are upgraded though the mode is `off`.";
        minimal_major_version Text = "14": "The oldest version that is not upgraded in mode `full`.";
        target_major_version Text = "18": "The version that older ones are upgraded to in mode `full`.";
    }
    Kubernetes {
        watched_namespace Text = "": "The namespaces that are watched, separated by commas. Empty: the operator's own; `*`: all.";
        cluster_domain Text = "cluster.local": "The DNS domain of the Kubernetes cluster.";
        cluster_labels Map = "application:spilo": "Labels of all objects of all clusters.";
        cluster_name_label Text = "cluster-name": "The label that holds the cluster's name.";
        pod_role_label Text = "spilo-role": "The pod label that holds the role: `master` or `replica`.";
        inherited_labels List = "": "Labels of a `postgresql` object that its objects get as well.";
        inherited_annotations List = "": "Annotations of a `postgresql` object that its objects get as well.";
        downscaler_annotations List = "": "Regular expressions: annotations of a `postgresql` object that its StatefulSet gets as well.";
        ignored_annotations List = "": "Annotations of objects and pod templates that others may change; the operator does not restore them.";
        custom_pod_annotations Map = "": "Annotations of all pods.";
        secret_name_template Text = "{username}.{cluster}.credentials.{tprkind}.{tprgroup}": "The name of a role's Secret. Placeholders: `{username}`, `{cluster}`, `{team}`, `{tprkind}`, `{tprgroup}`.";
        enable_cross_namespace_secret Flag = "false": "Whether a user `namespace.name` gets its Secret in that namespace.";
        enable_secrets_deletion Flag = "true": "Whether the Secrets of a deleted cluster are deleted.";
        enable_persistent_volume_claim_deletion Flag = "true": "Whether the volumes of a deleted cluster are deleted.";
        persistent_volume_claim_retention_policy Map = "when_deleted:retain,when_scaled:retain": "What Kubernetes does with claims of a StatefulSet that is deleted or scaled down: `retain` or `delete`.";
        enable_finalizers Flag = "true": "Whether a `postgresql` object has a finalizer until its objects are deleted." ignored;
        enable_owner_references Flag = "false": "Whether objects have an owner reference to the `postgresql` object.";
        delete_annotation_date_key Text = "": "An annotation that has to hold today's date for a cluster to be deleted.";
        delete_annotation_name_key Text = "": "An annotation that has to hold the cluster's name for it to be deleted.";
        pod_service_account_name Text = "postgres-pod": "The service account of the pods.";
        pod_service_account_definition Text = "": "The service account, as JSON or YAML. Empty: a plain one.";
        pod_service_account_role_binding_definition Text = "": "The role binding of the service account, as JSON or YAML. Empty: to the ClusterRole of the same name.";
        pod_terminate_grace_period Duration = "5m": "How long a pod may take to stop.";
        pod_management_policy Choice("ordered_ready", "parallel") = "ordered_ready": "`podManagementPolicy` of StatefulSets: whether pods start one after the other or all at once.";
        pod_priority_class_name Text = "": "The priority class of the pods.";
        pod_environment_configmap Reference = "": "A ConfigMap whose entries become variables of the database container.";
        pod_environment_secret Text = "": "A Secret whose entries become variables of the database container.";
        enable_pod_antiaffinity Flag = "false": "Whether pods of a cluster run in different places (pod anti-affinity).";
        pod_antiaffinity_preferred_during_scheduling Flag = "false": "Whether the anti-affinity is preferred, not required.";
        pod_antiaffinity_topology_key Text = "kubernetes.io/hostname": "The `topologyKey` of the anti-affinity: a node label whose values are the places.";
        node_readiness_label Map = "": "Labels that nodes need to have for pods to run on them.";
        node_readiness_label_merge Choice("OR", "AND") = "OR": "How these labels are combined with a manifest's node affinity.";
        toleration Map = "": "The taint that pods tolerate: `key`, `operator`, `value`, `effect`.";
        master_pod_move_timeout Duration = "20m": "How long a leader may wait for a switchover away from a drained node before there is a warning.";
        enable_pod_disruption_budget Flag = "true": "Whether the leader is protected against evictions.";
        pdb_name_format Text = "postgres-{cluster}-pdb": "The name of the disruption budget. Placeholder: `{cluster}`.";
        pdb_master_label_selector Flag = "true": "Whether the disruption budget protects the leader only.";
        enable_init_containers Flag = "true": "Whether manifests may have init containers.";
        enable_sidecars Flag = "true": "Whether manifests may have sidecars.";
        share_pgsocket_with_sidecars Flag = "false": "Whether sidecars share PostgreSQL's Unix socket.";
        enable_readiness_probe Flag = "false": "Whether the database container has a readiness probe, which asks Patroni.";
        liveness_probe Probe = "": "The liveness probe of the database container, if the manifest has none.";
        spilo_privileged Flag = "false": "Whether the database container is privileged.";
        spilo_allow_privilege_escalation Flag = "true": "`allowPrivilegeEscalation` of the database container: whether a process may get more rights than its parent.";
        spilo_runasuser OptionalInteger = "": "The user id that the database container runs as. Empty: the image's.";
        spilo_runasgroup OptionalInteger = "": "The group id that the database container runs as. Empty: the image's.";
        spilo_fsgroup OptionalInteger = "": "The group that owns the files of the volumes. Empty: root's, and 103 where a manifest has `tls`.";
        additional_pod_capabilities List = "": "Additional Linux capabilities of the database container.";
        storage_resize_mode Choice("pvc", "ebs", "mixed", "off") = "pvc": "How a larger size in a manifest reaches the volumes: by their claims, by the cloud's API (`ebs`), by both, or not at all.";
        infrastructure_roles_secret_name Reference = "": "The Secret that describes roles of every cluster.";
        infrastructure_roles_secrets RoleSources = "": "More Secrets that describe roles of every cluster, each with the names of its keys.";
        infrastructure_roles List = "": "For plugins: the names of the roles that these Secrets describe. The operator fills it in." derived;
        oauth_token_secret_name Reference = "postgresql-operator": "The Secret with the token for the teams API.";
    }
    PostgresPodResources {
        default_cpu_request Quantity = "100m": "CPU that a database container requests, unless its manifest sets it. Empty: none.";
        default_memory_request Quantity = "100Mi": "Memory that a database container requests, unless its manifest sets it. Empty: none.";
        default_cpu_limit Quantity = "1": "CPU that a database container may use, unless its manifest sets it. Empty: any.";
        default_memory_limit Quantity = "500Mi": "Memory that a database container may use, unless its manifest sets it. Empty: any.";
        min_cpu_limit Quantity = "250m": "A smaller CPU limit in a manifest is raised to this. Empty: no bound.";
        min_memory_limit Quantity = "250Mi": "A smaller memory limit in a manifest is raised to this. Empty: no bound.";
        max_cpu_request Quantity = "": "A larger CPU request in a manifest is lowered to this. Empty: no bound.";
        max_memory_request Quantity = "": "A larger memory request in a manifest is lowered to this. Empty: no bound.";
    }
    Timeouts {
        patroni_api_check_interval Duration = "1s": "The time between two requests to Patroni while it does not answer." ignored;
        patroni_api_check_timeout Duration = "5s": "How long Patroni is asked." ignored;
        resource_check_interval Duration = "3s": "The time between two reads of an object that is waited for." ignored;
        resource_check_timeout Duration = "10m": "How long an object is waited for." ignored;
        pod_label_wait_timeout Duration = "10m": "How long a pod's role is waited for." ignored;
        pod_deletion_wait_timeout Duration = "10m": "How long the deletion of a pod is waited for." ignored;
        ready_wait_interval Duration = "4s": "The time between two reads of the resource types after they were created." ignored;
        ready_wait_timeout Duration = "30s": "How long the resource types are waited for." ignored;
    }
    LoadBalancer {
        enable_master_load_balancer Flag = "false": "Whether the leader's Service is a load balancer, unless a manifest sets it.";
        enable_replica_load_balancer Flag = "false": "Whether the replicas' Service is a load balancer, unless a manifest sets it.";
        enable_master_pooler_load_balancer Flag = "false": "Whether the Service of the leader's pooler is a load balancer, unless a manifest sets it.";
        enable_replica_pooler_load_balancer Flag = "false": "Whether the Service of the replicas' pooler is a load balancer, unless a manifest sets it.";
        enable_master_node_port Flag = "false": "Whether the leader's Service has a port on every node, unless a manifest sets it.";
        enable_replica_node_port Flag = "false": "Whether the replicas' Service has a port on every node, unless a manifest sets it.";
        enable_master_pooler_node_port Flag = "false": "Whether the Service of the leader's pooler has a port on every node, unless a manifest sets it.";
        enable_replica_pooler_node_port Flag = "false": "Whether the Service of the replicas' pooler has a port on every node, unless a manifest sets it.";
        custom_service_annotations Map = "": "Annotations of all Services.";
        external_traffic_policy Choice("Cluster", "Local") = "Cluster": "Whether load balancers send traffic to every node or only where a pod is.";
        db_hosted_zone Text = "db.example.com": "The DNS zone of the load balancers' names.";
        master_dns_name_format Text = "{cluster}.{namespace}.{hostedzone}": "The DNS name of the leader's load balancer. Placeholders: `{cluster}`, `{team}`, `{namespace}`, `{hostedzone}`.";
        replica_dns_name_format Text = "{cluster}-repl.{namespace}.{hostedzone}": "The DNS name of the replicas' load balancer.";
        master_legacy_dns_name_format Text = "{cluster}.{team}.{hostedzone}": "Another DNS name of the leader's load balancer; `{cluster}` without its team.";
        replica_legacy_dns_name_format Text = "{cluster}-repl.{team}.{hostedzone}": "Another DNS name of the replicas' load balancer; `{cluster}` without its team.";
    }
    AwsOrGcp {
        wal_s3_bucket Text = "": "The S3 bucket for base backups and WAL.";
        log_s3_bucket Text = "": "The S3 bucket for the database's log.";
        wal_gs_bucket Text = "": "The Google Cloud Storage bucket for base backups and WAL.";
        gcp_credentials Text = "": "The file in the container with the credentials for Google Cloud.";
        wal_az_storage_account Text = "": "The Azure storage account for base backups and WAL.";
        kube_iam_role Text = "": "The AWS role of the pods, by annotation.";
        irsa_role_arn Text = "": "The AWS role of the pods, by an annotation of their service account. Clones and standbys read their source's archive with it.";
        aws_region Text = "eu-central-1": "The region of the volumes and buckets in AWS.";
        additional_secret_mount Text = "": "A Secret that every container of the pods gets as a folder.";
        additional_secret_mount_path Text = "/meta/credentials": "The path of that folder.";
        enable_ebs_gp3_migration Flag = "false": "Whether EBS volumes of type gp2 become gp3." ignored;
        enable_ebs_gp3_migration_max_size Integer = "1000": "The largest volume in GiB that becomes gp3." ignored;
    }
    LogicalBackup {
        logical_backup_schedule Schedule = "30 00 * * *": "When dumps are made, unless a manifest sets it.";
        logical_backup_docker_image Text = "ghcr.io/zalando/postgres-operator/logical-backup:v2.0.1": "The image of the job that dumps.";
        logical_backup_job_prefix Text = "logical-backup-": "What the CronJob's name starts with; the cluster's name follows.";
        logical_backup_provider Choice("s3", "gcs", "az") = "s3": "Where dumps go: S3, Google Cloud Storage or Azure.";
        logical_backup_s3_bucket Text = "": "The bucket of the dumps.";
        logical_backup_s3_bucket_prefix Text = "spilo": "The folder of the bucket that holds the dumps.";
        logical_backup_s3_region Text = "": "The region of the bucket.";
        logical_backup_s3_endpoint Text = "": "The URL of an S3 server other than that of AWS.";
        logical_backup_s3_sse Text = "": "The server-side encryption, as in `AES256`.";
        logical_backup_s3_retention_time Text = "": "How long dumps are kept, as in `3 months`. Empty: for ever.";
        logical_backup_s3_access_key_id Credential = "": "The access key for the bucket.";
        logical_backup_s3_secret_access_key Credential = "": "The secret key for the bucket.";
        logical_backup_azure_storage_account_name Text = "": "The Azure storage account of the dumps.";
        logical_backup_azure_storage_container Text = "": "The container in that storage account.";
        logical_backup_azure_storage_account_key Credential = "": "The key of the Azure storage account.";
        logical_backup_google_application_credentials Text = "": "The file in the job's container with the credentials for Google Cloud.";
        logical_backup_cronjob_environment_secret Text = "": "A Secret whose entries become variables of the job.";
        logical_backup_cpu_request Quantity = "": "CPU that the job requests. Empty: as the database container.";
        logical_backup_memory_request Quantity = "": "Memory that the job requests. Empty: as the database container.";
        logical_backup_cpu_limit Quantity = "": "CPU that the job may use. Empty: as the database container.";
        logical_backup_memory_limit Quantity = "": "Memory that the job may use. Empty: as the database container.";
        logical_backup_successful_jobs_history_limit Integer = "3": "How many finished jobs are kept.";
        logical_backup_failed_jobs_history_limit Integer = "3": "How many failed jobs are kept.";
        logical_backup_ttl_seconds_after_finished Integer = "86400": "For how many seconds a finished job is kept.";
    }
    Debug {
        debug_logging Flag = "true": "Whether the log has decisions, not only changes." ignored;
        enable_database_access Flag = "true": "Whether the operator connects to databases to create roles and databases.";
    }
    TeamsApi {
        enable_teams_api Flag = "false": "Whether the members of a team, as the Teams API returns them, get roles.";
        teams_api_url Text = "https://teams.example.com/api/": "The URL of the Teams API.";
        team_api_role_configuration Map = "log_statement:all": "Settings of the roles of team members.";
        enable_team_superuser Flag = "false": "Whether team members are superusers in their team's clusters.";
        enable_team_member_deprecation Flag = "false": "Whether the role of a member who has left a team is renamed and can no longer log in.";
        role_deletion_suffix Text = "_deleted": "The suffix of the name of such a role.";
        enable_postgres_team_crd Flag = "false": "Whether objects of kind PostgresTeam, in all watched namespaces, add teams and members.";
        enable_postgres_team_crd_superusers Flag = "false": "Whether PostgresTeam objects add teams of superusers, too.";
        postgres_superuser_teams List = "": "Teams whose members are superusers in every cluster.";
        enable_admin_role_for_users Flag = "true": "Whether the team's admin role may grant the manifest's roles.";
        team_admin_role Text = "admin": "The team's admin role.";
        pam_role_name Text = "zalandos": "The role of all human users, who log in by PAM.";
        pam_configuration Text = "https://info.example.com/oauth2/tokeninfo?access_token= uid realm=/employees": "The PAM configuration that checks the tokens of human users.";
        protected_role_names List = "admin,cron_admin": "Roles that no manifest may define.";
    }
    LoggingRestApi {
        api_port Integer = "8080": "The port of the API." ignored;
        ring_log_lines Integer = "100": "How many lines of the log of each cluster are kept." ignored;
        cluster_history_entries Integer = "1000": "How many changes of each cluster are kept." ignored;
    }
    Scalyr {
        scalyr_api_key Credential = "": "The API key. The sidecar runs if this and its image are given.";
        scalyr_image Text = "": "The image of the sidecar.";
        scalyr_server_url Text = "https://upload.eu.scalyr.com": "The server that logs go to.";
        scalyr_cpu_request Quantity = "100m": "CPU that the sidecar requests.";
        scalyr_memory_request Quantity = "50Mi": "Memory that the sidecar requests.";
        scalyr_cpu_limit Quantity = "1": "CPU that the sidecar may use.";
        scalyr_memory_limit Quantity = "500Mi": "Memory that the sidecar may use.";
    }
    ConnectionPooler {
        connection_pooler_number_of_instances Integer = "2": "The number of pods of a pooler." <- "connection_pool_number_of_instances";
        connection_pooler_schema Text = "pooler": "The schema of the look-up function." <- "connection_pool_schema";
        connection_pooler_user Text = "pooler": "The role that poolers log in with." <- "connection_pool_user";
        connection_pooler_image Text = "ghcr.io/zalando/postgres-operator/pgbouncer:v2.0.1": "The image of the poolers." <- "connection_pool_image";
        connection_pooler_mode Choice("transaction", "session") = "transaction": "`pool_mode` of PgBouncer: when a server connection is released." <- "connection_pool_mode";
        connection_pooler_max_db_connections Integer = "60": "The most server connections to one database, of all poolers of a cluster." <- "connection_pool_max_db_connections";
        connection_pooler_default_cpu_request Quantity = "500m": "CPU that a pooler requests." <- "connection_pool_default_cpu_request";
        connection_pooler_default_memory_request Quantity = "100Mi": "Memory that a pooler requests." <- "connection_pool_default_memory_request";
        connection_pooler_default_cpu_limit Quantity = "1": "CPU that a pooler may use." <- "connection_pool_default_cpu_limit";
        connection_pooler_default_memory_limit Quantity = "100Mi": "Memory that a pooler may use." <- "connection_pool_default_memory_limit";
    }
    Patroni {
        enable_patroni_failsafe_mode Flag = "false": "`failsafe_mode` of Patroni: whether a leader continues while Kubernetes does not answer but all members do.";
    }
};
