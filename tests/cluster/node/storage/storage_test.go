// Storage: claims get folders of their size, and only folders that were made here are ever deleted.
package storage

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	core "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/ptr"
)

// world is a cluster that holds the objects, after one look of the storage at it.
type world struct {
	client kubernetes.Interface
	folder string
	err    error
}

func lookAt(t *testing.T, folder string, objects ...runtime.Object) world {
	t.Helper()
	client := fake.NewClientset(objects...)
	factory := informers.NewSharedInformerFactory(client, 0)
	s := newFolderStorage(client, factory, folder)
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	return world{client, folder, s.reconcile(ctx)}
}

func (w world) volume(t *testing.T, name string) *core.PersistentVolume {
	t.Helper()
	volumes, err := w.client.CoreV1().PersistentVolumes().List(context.Background(), meta.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, volume := range volumes.Items {
		if volume.Name == name {
			return &volume
		}
	}
	return nil
}

func class(mode storagev1.VolumeBindingMode) *storagev1.StorageClass {
	return &storagev1.StorageClass{ObjectMeta: meta.ObjectMeta{Name: "standard"}, Provisioner: provisionerName, VolumeBindingMode: &mode}
}

func claim(annotations map[string]string) *core.PersistentVolumeClaim {
	return &core.PersistentVolumeClaim{
		ObjectMeta: meta.ObjectMeta{Namespace: "shop", Name: "orders", UID: "1", Annotations: annotations},
		Spec: core.PersistentVolumeClaimSpec{
			StorageClassName: ptr.To("standard"),
			Resources:        core.VolumeResourceRequirements{Requests: core.ResourceList{core.ResourceStorage: resource.MustParse("2Gi")}},
		},
	}
}

func bound(capacity string) *core.PersistentVolumeClaim {
	c := claim(nil)
	c.Spec.VolumeName = "pvc-1"
	c.Status = core.PersistentVolumeClaimStatus{Phase: core.ClaimBound, Capacity: core.ResourceList{core.ResourceStorage: resource.MustParse(capacity)}}
	return c
}

func volume(path, provisionedBy string, phase core.PersistentVolumePhase) *core.PersistentVolume {
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: "pvc-1", Annotations: map[string]string{provisionedByAnnotation: provisionedBy}},
		Spec: core.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: core.PersistentVolumeReclaimDelete,
			Capacity:                      core.ResourceList{core.ResourceStorage: resource.MustParse("1Gi")},
			PersistentVolumeSource:        core.PersistentVolumeSource{HostPath: &core.HostPathVolumeSource{Path: path}},
		},
		Status: core.PersistentVolumeStatus{Phase: phase},
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestAClaimGetsAFolderOpenToAll(t *testing.T) {
	w := lookAt(t, t.TempDir(), class(storagev1.VolumeBindingImmediate), claim(map[string]string{provisionerAnnotation: provisionerName}))
	made := w.volume(t, "pvc-1")
	if w.err != nil || made == nil {
		t.Fatal(made, w.err)
	}
	info, err := os.Stat(made.Spec.HostPath.Path)
	if err != nil || info.Mode().Perm() != 0o777 {
		t.Error(info, err)
	}
	if made.Spec.Capacity.Storage().String() != "2Gi" || made.Spec.ClaimRef.Name != "orders" {
		t.Error(made.Spec)
	}
}

func TestAClaimThatWaitsForItsPodGetsNothingYet(t *testing.T) {
	waits := class(storagev1.VolumeBindingWaitForFirstConsumer)
	if w := lookAt(t, t.TempDir(), waits, claim(map[string]string{provisionerAnnotation: provisionerName})); w.volume(t, "pvc-1") != nil || w.err != nil {
		t.Error("made before a pod was there", w.err)
	}
	scheduled := claim(map[string]string{provisionerAnnotation: provisionerName, selectedNodeAnnotation: "node"})
	if w := lookAt(t, t.TempDir(), waits, scheduled); w.volume(t, "pvc-1") == nil || w.err != nil {
		t.Error("not made when the pod was there", w.err)
	}
}

func TestAVolumeStaysOnTheNodeOfItsFirstPod(t *testing.T) {
	class := class(storagev1.VolumeBindingWaitForFirstConsumer)
	scheduled := claim(map[string]string{provisionerAnnotation: provisionerName, selectedNodeAnnotation: "node-2"})
	made := lookAt(t, t.TempDir(), class, scheduled).volume(t, "pvc-1")
	required := made.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0]
	if required.Key != "kubernetes.io/hostname" || required.Operator != core.NodeSelectorOpIn || !slices.Equal(required.Values, []string{"node-2"}) {
		t.Error(required)
	}
}

func TestAVolumeThatWaitsForNoPodIsOnEveryNode(t *testing.T) {
	w := lookAt(t, t.TempDir(), class(storagev1.VolumeBindingImmediate), claim(map[string]string{provisionerAnnotation: provisionerName}))
	if affinity := w.volume(t, "pvc-1").Spec.NodeAffinity; affinity != nil {
		t.Error(affinity)
	}
}

func TestAnotherProvisionersClaimIsLeftToIt(t *testing.T) {
	w := lookAt(t, t.TempDir(), class(storagev1.VolumeBindingImmediate), claim(map[string]string{provisionerAnnotation: "example.com/disk"}))
	if w.volume(t, "pvc-1") != nil || w.err != nil {
		t.Error("made", w.err)
	}
}

func TestAGrownClaimGrowsItsVolumeAndThenItself(t *testing.T) {
	w := lookAt(t, t.TempDir(), bound("1Gi"), volume("/volumes/shop_orders_pvc-1", provisionerName, core.VolumeBound))
	if w.err != nil {
		t.Fatal(w.err)
	}
	grown, err := w.client.CoreV1().PersistentVolumeClaims("shop").Get(context.Background(), "orders", meta.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := grown.Status.Capacity.Storage().String(); got != "2Gi" {
		t.Error("claim:", got)
	}
	if got := w.volume(t, "pvc-1").Spec.Capacity.Storage().String(); got != "2Gi" {
		t.Error("volume:", got)
	}
	order := []string{}
	for _, action := range w.client.(*fake.Clientset).Actions() {
		if action.GetVerb() == "patch" {
			order = append(order, action.GetResource().Resource)
		}
	}
	if len(order) != 2 || order[0] != "persistentvolumes" || order[1] != "persistentvolumeclaims" {
		t.Error("order:", order)
	}
}

func TestAReleasedVolumeGoesWithItsFolder(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "shop_orders_pvc-1")
	if err := os.MkdirAll(filepath.Join(path, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	w := lookAt(t, folder, volume(path, provisionerName, core.VolumeReleased))
	if w.err != nil || exists(path) || w.volume(t, "pvc-1") != nil {
		t.Error("still there", w.err)
	}
}

func TestNoOtherFolderIsEverDeleted(t *testing.T) {
	folder, elsewhere := t.TempDir(), t.TempDir()
	for _, path := range []string{elsewhere, folder, filepath.Join(folder, ".."), filepath.Join(folder, "a", "..", "..", "pvc-1")} {
		if w := lookAt(t, folder, volume(path, provisionerName, core.VolumeReleased)); w.err == nil || w.volume(t, "pvc-1") == nil {
			t.Errorf("%s was accepted", path)
		}
	}
	if !exists(elsewhere) || !exists(folder) {
		t.Error("deleted")
	}
	if w := lookAt(t, folder, volume(elsewhere, "example.com/disk", core.VolumeReleased)); w.err != nil || w.volume(t, "pvc-1") == nil {
		t.Error("another provisioner's volume was touched", w.err)
	}
}
