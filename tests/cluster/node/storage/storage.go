// The storage of the local cluster: replaces a cloud's disk driver, with a folder as a disk.
//
// It does the work of three programs that a cluster has next to its driver: the provisioner, which makes a volume for a claim; the
// resizer, which makes it larger, first the volume and then the claim; and the deleter. As with a cloud's disks, a claim that
// shrinks is refused (by the API server) and a volume waits for its pod if the class requires it. Unlike a disk, a folder has no
// limit: its capacity is only a number in the API, and a pod can write more.
package storage

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	core "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"
)

const (
	// The provisioner field of the storage classes this program serves.
	provisionerName = "pgloom.dev/folder"
	// Written by the volume controller on a claim: which provisioner has to act.
	provisionerAnnotation = "volume.kubernetes.io/storage-provisioner"
	// Written by the scheduler on a claim whose class waits for the first consumer.
	selectedNodeAnnotation = "volume.kubernetes.io/selected-node"
	// Written by provisioners on a volume; the volume controller leaves the deletion to them.
	provisionedByAnnotation = "pv.kubernetes.io/provisioned-by"

	// After a failure all objects are processed again, even if none of them changed.
	retryDelay = 2 * time.Second
)

type folderStorage struct {
	client  kubernetes.Interface
	folder  string
	claims  corelisters.PersistentVolumeClaimLister
	volumes corelisters.PersistentVolumeLister
	classes storagelisters.StorageClassLister
}

func newFolderStorage(client kubernetes.Interface, factory informers.SharedInformerFactory, folder string) *folderStorage {
	return &folderStorage{
		client:  client,
		folder:  folder,
		claims:  factory.Core().V1().PersistentVolumeClaims().Lister(),
		volumes: factory.Core().V1().PersistentVolumes().Lister(),
		classes: factory.Storage().V1().StorageClasses().Lister(),
	}
}

// Run serves claims until it gets a signal to stop.
func Run() error {
	flags := flag.NewFlagSet("storage", flag.ExitOnError)
	kubeconfig := flags.String("kubeconfig", "", "how to reach the API server")
	folder := flags.String("folder", "", "the folder of the volumes")
	_ = flags.Parse(os.Args[1:])
	if *kubeconfig == "" || !filepath.IsAbs(*folder) {
		return errors.New("--kubeconfig and an absolute --folder are needed")
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 50, 100 // the default of 5 a second slows down a test with many claims
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	factory := informers.NewSharedInformerFactory(client, 0)
	s := newFolderStorage(client, factory, *folder)
	// Any change causes all objects to be processed: a test cluster has few claims, and one loop is simple.
	changed := make(chan struct{}, 1)
	notice := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { notice() },
		UpdateFunc: func(any, any) { notice() },
		DeleteFunc: func(any) { notice() },
	}
	for _, informer := range []cache.SharedIndexInformer{
		factory.Core().V1().PersistentVolumeClaims().Informer(),
		factory.Core().V1().PersistentVolumes().Informer(),
		factory.Storage().V1().StorageClasses().Informer(),
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())

	for {
		if err := s.reconcile(ctx); err != nil {
			klog.ErrorS(err, "Some claims or volumes are not as they should be")
			time.AfterFunc(retryDelay, notice)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

func (s *folderStorage) reconcile(ctx context.Context) error {
	claims, err := s.claims.List(labels.Everything())
	if err != nil {
		return err
	}
	volumes, err := s.volumes.List(labels.Everything())
	if err != nil {
		return err
	}
	var failures []error
	for _, claim := range claims {
		if err := s.serve(ctx, claim); err != nil {
			failures = append(failures, fmt.Errorf("claim %s/%s: %w", claim.Namespace, claim.Name, err))
		}
	}
	for _, volume := range volumes {
		if err := s.reclaim(ctx, volume); err != nil {
			failures = append(failures, fmt.Errorf("volume %s: %w", volume.Name, err))
		}
	}
	return errors.Join(failures...)
}

func (s *folderStorage) serve(ctx context.Context, claim *core.PersistentVolumeClaim) error {
	if claim.DeletionTimestamp != nil {
		return nil
	}
	if claim.Spec.VolumeName != "" {
		return s.expand(ctx, claim)
	}
	if claim.Annotations[provisionerAnnotation] != provisionerName {
		return nil
	}
	class, err := s.classes.Get(ptr.Deref(claim.Spec.StorageClassName, ""))
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if ptr.Deref(class.VolumeBindingMode, storagev1.VolumeBindingImmediate) == storagev1.VolumeBindingWaitForFirstConsumer &&
		claim.Annotations[selectedNodeAnnotation] == "" {
		return nil
	}
	return s.provision(ctx, claim, class)
}

func (s *folderStorage) provision(ctx context.Context, claim *core.PersistentVolumeClaim, class *storagev1.StorageClass) error {
	if mode := ptr.Deref(claim.Spec.VolumeMode, core.PersistentVolumeFilesystem); mode != core.PersistentVolumeFilesystem {
		return fmt.Errorf("volume mode %s: a folder is no block device", mode)
	}
	name := "pvc-" + string(claim.UID)
	if _, err := s.volumes.Get(name); err == nil {
		return nil // already made; the volume controller has not bound it yet
	}
	path := filepath.Join(s.folder, claim.Namespace+"_"+claim.Name+"_"+name)
	if err := os.MkdirAll(path, 0o777); err != nil {
		return err
	}
	// Writable by all users, against the umask: fsGroup has no effect on hostPath volumes, and a pod may run as any user.
	// The database then makes a folder inside that only its own user can read.
	if err := os.Chmod(path, 0o777); err != nil {
		return err
	}
	_, err := s.client.CoreV1().PersistentVolumes().Create(ctx, &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: name, Annotations: map[string]string{provisionedByAnnotation: provisionerName}},
		Spec: core.PersistentVolumeSpec{
			StorageClassName:              class.Name,
			PersistentVolumeReclaimPolicy: ptr.Deref(class.ReclaimPolicy, core.PersistentVolumeReclaimDelete),
			AccessModes:                   claim.Spec.AccessModes,
			Capacity:                      core.ResourceList{core.ResourceStorage: claim.Spec.Resources.Requests[core.ResourceStorage]},
			ClaimRef: &core.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim",
				Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID, ResourceVersion: claim.ResourceVersion,
			},
			PersistentVolumeSource: core.PersistentVolumeSource{
				HostPath: &core.HostPathVolumeSource{Path: path, Type: ptr.To(core.HostPathDirectory)},
			},
			NodeAffinity: onlyOn(claim.Annotations[selectedNodeAnnotation]),
		},
	}, meta.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	if err == nil {
		klog.InfoS("Provisioned", "claim", klog.KObj(claim), "volume", name)
	}
	return err
}

// onlyOn keeps a volume on the node that the scheduler chose for its first pod, as a disk of that node. Every node sees all folders, so
// a volume that waits for no pod is on each of them.
func onlyOn(node string) *core.VolumeNodeAffinity {
	if node == "" {
		return nil
	}
	return &core.VolumeNodeAffinity{Required: &core.NodeSelector{NodeSelectorTerms: []core.NodeSelectorTerm{{
		MatchExpressions: []core.NodeSelectorRequirement{
			{Key: core.LabelHostname, Operator: core.NodeSelectorOpIn, Values: []string{node}},
		},
	}}}}
}

// expand gives a claim the size it asks for: the volume's capacity first and the claim's status after, so that a claim that has
// grown always has a volume of that size.
func (s *folderStorage) expand(ctx context.Context, claim *core.PersistentVolumeClaim) error {
	wanted, actual := claim.Spec.Resources.Requests[core.ResourceStorage], claim.Status.Capacity[core.ResourceStorage]
	if claim.Status.Phase != core.ClaimBound || wanted.Cmp(actual) <= 0 {
		return nil
	}
	volume, err := s.volumes.Get(claim.Spec.VolumeName)
	if err != nil || volume.Annotations[provisionedByAnnotation] != provisionerName {
		return err
	}
	capacity := map[string]any{"capacity": map[string]string{"storage": wanted.String()}}
	if has := volume.Spec.Capacity[core.ResourceStorage]; wanted.Cmp(has) > 0 {
		patch, err := json.Marshal(map[string]any{"spec": capacity})
		if err != nil {
			return err
		}
		if _, err := s.client.CoreV1().PersistentVolumes().Patch(ctx, volume.Name, types.MergePatchType, patch, meta.PatchOptions{}); err != nil {
			return err
		}
	}
	patch, err := json.Marshal(map[string]any{"status": capacity})
	if err != nil {
		return err
	}
	claims := s.client.CoreV1().PersistentVolumeClaims(claim.Namespace)
	if _, err := claims.Patch(ctx, claim.Name, types.MergePatchType, patch, meta.PatchOptions{}, "status"); err != nil {
		return err
	}
	klog.InfoS("Expanded", "claim", klog.KObj(claim), "from", actual.String(), "to", wanted.String())
	return nil
}

// reclaim deletes a volume whose claim is gone, if its reclaim policy is Delete: the folder first, so that no folder is left without a
// volume.
func (s *folderStorage) reclaim(ctx context.Context, volume *core.PersistentVolume) error {
	if volume.Annotations[provisionedByAnnotation] != provisionerName ||
		volume.Status.Phase != core.VolumeReleased ||
		volume.Spec.PersistentVolumeReclaimPolicy != core.PersistentVolumeReclaimDelete ||
		volume.Spec.HostPath == nil {
		return nil
	}
	// Every client with the right to write volumes can write any path into one.
	if path := volume.Spec.HostPath.Path; filepath.Dir(filepath.Clean(path)) != s.folder || !strings.HasSuffix(path, volume.Name) {
		return fmt.Errorf("%s is no folder of this program's making", path)
	}
	if err := os.RemoveAll(volume.Spec.HostPath.Path); err != nil {
		return err
	}
	err := s.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, meta.DeleteOptions{})
	if err == nil {
		klog.InfoS("Deleted", "volume", volume.Name)
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
