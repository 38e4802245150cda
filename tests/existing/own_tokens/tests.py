from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import SimpleTestCase, TransactionTestCase
from rest_framework.test import APIClient, APIRequestFactory, APITestCase, force_authenticate

from .models import Device, Item, Profile
from .views import Items

ITEMS = "/backend/api/items/"


class WithoutDatabase(SimpleTestCase):
    client_class = APIClient

    def test_nobody(self):
        response = self.client.get(ITEMS)
        self.assertEqual(response.status_code, 401)
        self.assertEqual(response["WWW-Authenticate"], 'Device realm="own"')
        self.assertEqual(list(response.data), ["own"])

    def test_open(self):
        response = self.client.get("/backend/api/open/")
        self.assertEqual(response.json(), {"user": "AnonymousUser"})
        self.assertEqual(response["Cache-Control"], "max-age=60")

    def test_a_foreign_key_header(self):
        response = self.client.get("/backend/api/open/", headers={"X-API-Key": "theirs"})
        self.assertEqual(response.status_code, 200)

    def test_a_foreign_scheme(self):
        response = self.client.get("/backend/api/open/", headers={"authorization": "Basic eDp5"})
        self.assertEqual(response.status_code, 200)

    def test_a_missing_page(self):
        self.assertEqual(self.client.get("/backend/api/none/").status_code, 404)

    def test_outside_of_the_context_path(self):
        self.assertEqual(self.client.get("/api/items/").status_code, 404)

    def test_the_admin_sends_to_its_login(self):
        self.assertEqual(self.client.get("/backend/admin/").status_code, 302)


class Case(APITestCase):
    @classmethod
    def setUpTestData(cls):
        cls.user = User.objects.create_superuser("ann", password="a long pass phrase")
        Profile.objects.create(user=cls.user, city="Bern")
        Device.objects.create(user=cls.user, token="device-1")
        cls.items = [Item.objects.create(owner=cls.user, name=f"item {n}") for n in range(3)]

    def setUp(self):
        cache.clear()
        self.client.credentials(HTTP_AUTHORIZATION="Bearer device-1")


class Reading(Case):
    def test_a_list(self):
        with self.assertNumQueries(3):
            response = self.client.get(ITEMS)
        self.assertEqual((response.data["count"], len(response.data["results"])), (3, 2))

    def test_a_next_page(self):
        response = self.client.get(ITEMS)
        self.assertEqual(response.data["next"], "http://testserver/backend/api/items/?page=2")

    def test_one(self):
        with self.assertNumQueries(2):
            response = self.client.get(f"{ITEMS}{self.items[0].pk}/")
        self.assertEqual(response.data["name"], "item 0")

    def test_none(self):
        self.assertEqual(self.client.get(f"{ITEMS}999/").status_code, 404)

    def test_the_user_is_a_row(self):
        response = self.client.get(f"{ITEMS}city/")
        self.assertEqual(response.data, {"city": "Bern", "device": "device-1"})

    def test_an_unknown_device(self):
        self.client.credentials(HTTP_AUTHORIZATION="Bearer nobody")
        with self.assertNumQueries(1):
            response = self.client.get(ITEMS)
        self.assertEqual(response.status_code, 401)
        self.assertEqual(response.json(), {"own": {"detail": "unknown device"}})

    def test_options(self):
        self.assertEqual(self.client.options(ITEMS).data["name"], "Items List")

    def test_the_browsable_api(self):
        response = self.client.get(ITEMS, headers={"accept": "text/html"})
        self.assertContains(response, "<html")

    def test_yaml_is_not_rendered(self):
        response = self.client.get(ITEMS, headers={"accept": "application/yaml"})
        self.assertEqual(response.status_code, 406)

    def test_the_root(self):
        self.assertIn("items", self.client.get("/backend/api/").data)

    def test_a_forced_user(self):
        request = APIRequestFactory().get(ITEMS)
        force_authenticate(request, self.user)
        self.assertEqual(Items.as_view({"get": "list"})(request).status_code, 200)

    def test_a_forced_user_of_the_client(self):
        self.client.force_authenticate(self.user)
        with self.assertNumQueries(2):
            self.assertEqual(self.client.get(ITEMS).status_code, 200)


class Writing(Case):
    def test_a_new_one(self):
        with self.assertNumQueries(2):
            response = self.client.post(ITEMS, {"name": "new"}, format="json")
        self.assertEqual(response.status_code, 201)

    def test_a_form(self):
        self.assertEqual(self.client.post(ITEMS, {"name": "new"}).status_code, 201)

    def test_a_mistake(self):
        response = self.client.post(ITEMS, {}, format="json")
        self.assertEqual(response.json(), {"own": {"name": ["This field is required."]}})

    def test_broken_json(self):
        response = self.client.generic("POST", ITEMS, "{", content_type="application/json")
        self.assertEqual(response.status_code, 400)

    def test_another_type(self):
        response = self.client.generic("POST", ITEMS, "x", content_type="application/x-own")
        self.assertEqual(response.status_code, 415)

    def test_an_upload(self):
        file = SimpleUploadedFile("a.bin", b"x" * 2_000_000)
        response = self.client.post("/backend/api/upload/a", {"file": file}, format="multipart")
        self.assertEqual(response.data, {"size": 2_000_000})

    def test_a_raw_upload(self):
        response = self.client.generic(
            "PUT",
            "/backend/api/upload/a.bin",
            b"raw",
            "application/octet-stream",
            headers={"content-disposition": "attachment; filename=a.bin"},
        )
        self.assertEqual(response.data, {"size": 3})

    def test_a_deletion(self):
        self.assertEqual(self.client.delete(f"{ITEMS}{self.items[0].pk}/").status_code, 204)
        self.assertEqual(Item.objects.count(), 2)

    def test_a_method_that_is_none(self):
        self.assertEqual(self.client.put(ITEMS, {}, format="json").status_code, 405)


class Throttling(Case):
    def test_its_own_throttle(self):
        seen = [self.client.get(f"{ITEMS}city/").status_code for _ in range(6)]
        self.assertEqual(seen, [200] * 5 + [429])

    def test_its_own_body(self):
        response = [self.client.get(f"{ITEMS}city/") for _ in range(6)][-1]
        self.assertIn("throttled", response.json()["own"]["detail"])
        self.assertIn("Retry-After", response)


class Administration(Case):
    def test_the_own_site(self):
        self.client.credentials()
        self.client.force_login(self.user)
        self.assertContains(self.client.get("/backend/admin/"), "Own administration")


class Commits(TransactionTestCase):
    def test_a_row(self):
        Item.objects.create(owner=User.objects.create_user("bob"), name="x")
        self.assertEqual(APIClient().get(ITEMS).status_code, 401)

    def test_no_row(self):
        self.assertFalse(Item.objects.exists())
