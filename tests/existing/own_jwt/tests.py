from datetime import timedelta

from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import SimpleTestCase, TestCase, TransactionTestCase
from rest_framework.test import APIClient, APITestCase
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from .models import Task


class Languages(SimpleTestCase):
    def setUp(self):
        cache.clear()

    def test_english(self):
        self.assertEqual(self.client.get("/en/api/search/").json(), {"yes": "Yes"})

    def test_german(self):
        self.assertEqual(self.client.get("/de/api/search/").json(), {"yes": "Ja"})

    def test_a_page(self):
        self.assertContains(self.client.get("/de/"), "<h1>Ja</h1>")

    def test_no_language(self):
        response = self.client.get("/api/search/", headers={"accept-language": "de"})
        self.assertRedirects(response, "/de/api/search/", fetch_redirect_response=False)

    def test_the_language_is_named(self):
        self.assertEqual(self.client.get("/de/api/search/")["Content-Language"], "de")

    def test_an_unknown_language(self):
        self.assertEqual(self.client.get("/fr/api/search/").status_code, 404)

    def test_an_error_in_german(self):
        response = self.client.get("/de/api/who/")
        self.assertEqual(response.status_code, 401)
        self.assertEqual(response.json(), {"detail": "Anmeldedaten fehlen."})

    def test_its_own_challenge(self):
        response = self.client.get("/en/api/who/")
        self.assertEqual(response["WWW-Authenticate"], 'Bearer realm="api"')

    def test_a_token_that_is_none(self):
        response = self.client.get("/en/api/who/", headers={"authorization": "Bearer x.y.z"})
        self.assertEqual((response.status_code, response.json()["code"]), (401, "token_not_valid"))

    def test_two_words_after_the_scheme(self):
        response = self.client.get("/en/api/who/", headers={"authorization": "Bearer a b"})
        self.assertEqual(response.json()["code"], "bad_authorization_header")

    def test_a_refresh_token_that_is_none(self):
        response = self.client.post("/en/api/token/refresh/", {"refresh": "x"})
        self.assertEqual(response.status_code, 401)

    def test_a_user_that_is_gone_is_no_query_too_many(self):
        expired = AccessToken()
        expired.set_exp(lifetime=-timedelta(hours=1))
        response = self.client.get("/en/api/who/", headers={"authorization": f"Bearer {expired}"})
        self.assertEqual(response.status_code, 401)


class SignIn(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.user = User.objects.create_user("ann", "ann@example.com", "a long pass phrase")

    def sign_in(self, password="a long pass phrase"):
        return self.client.post("/en/api/token/", {"username": "ann", "password": password})

    def test_a_pair(self):
        with self.assertNumQueries(1):
            response = self.sign_in()
        self.assertEqual(sorted(response.json()), ["access", "refresh"])

    def test_a_wrong_password(self):
        self.assertEqual(self.sign_in("wrong").status_code, 401)

    def test_a_hundred_wrong_passwords(self):
        self.assertEqual({self.sign_in("wrong").status_code for _ in range(100)}, {401})

    def test_a_missing_password(self):
        self.assertEqual(self.client.post("/en/api/token/", {"username": "a"}).status_code, 400)

    def test_a_refresh(self):
        refresh = self.sign_in().json()["refresh"]
        response = self.client.post("/en/api/token/refresh/", {"refresh": refresh})
        self.assertEqual(sorted(response.json()), ["access"])

    def test_a_refresh_token_is_no_access_token(self):
        refresh = RefreshToken.for_user(self.user)
        response = self.client.get("/en/api/who/", headers={"authorization": f"Bearer {refresh}"})
        self.assertEqual(response.status_code, 401)

    def test_the_token_works(self):
        access = self.sign_in().json()["access"]
        with self.assertNumQueries(1):
            response = self.client.get(
                "/en/api/who/", headers={"authorization": f"Bearer {access}"}
            )
        self.assertEqual(response.json(), {"email": "ann@example.com", "type": "access"})

    def test_an_inactive_user(self):
        access = self.sign_in().json()["access"]
        User.objects.update(is_active=False)
        response = self.client.get("/en/api/who/", headers={"authorization": f"Bearer {access}"})
        self.assertEqual(response.json()["code"], "user_inactive")


class Tasks(APITestCase):
    @classmethod
    def setUpTestData(cls):
        cls.user = User.objects.create_user("ann")
        cls.task = Task.objects.create(owner=cls.user, title="first")

    def setUp(self):
        cache.clear()
        self.client.credentials(HTTP_AUTHORIZATION=f"Bearer {AccessToken.for_user(self.user)}")

    def test_a_list(self):
        with self.assertNumQueries(2):
            response = self.client.get("/en/api/tasks/")
        self.assertEqual(response.data, [{"id": self.task.pk, "title": "first"}])

    def test_a_new_one(self):
        with self.assertNumQueries(2):
            response = self.client.post("/en/api/tasks/", {"title": "x"}, format="json")
        self.assertEqual(response.status_code, 201)

    def test_a_change(self):
        url = f"/de/api/tasks/{self.task.pk}/"
        response = self.client.patch(url, {"title": "second"}, format="json")
        self.assertEqual(response.data["title"], "second")

    def test_a_mistake_in_german(self):
        response = self.client.post("/de/api/tasks/", {}, format="json")
        self.assertEqual(response.data["title"], ["Dieses Feld ist zwingend erforderlich."])

    def test_a_deletion(self):
        self.assertEqual(self.client.delete(f"/en/api/tasks/{self.task.pk}/").status_code, 204)

    def test_a_forced_user(self):
        self.client.force_authenticate(self.user)
        with self.assertNumQueries(1):
            self.assertEqual(self.client.get("/en/api/tasks/").status_code, 200)


class Open(APITestCase):
    def setUp(self):
        cache.clear()

    def test_its_own_throttle(self):
        seen = [self.client.get("/en/api/search/").status_code for _ in range(3)]
        self.assertEqual(seen, [200, 200, 429])

    def test_an_upload(self):
        file = SimpleUploadedFile("a.bin", b"x" * 2_000_000)
        response = self.client.post("/en/api/search/", {"file": file}, format="multipart")
        self.assertEqual(response.data, {"files": ["file"], "data": ["file"]})

    def test_a_form(self):
        body, kind = "a=1&b=2", "application/x-www-form-urlencoded"
        response = self.client.generic("POST", "/en/api/search/", body, kind)
        self.assertEqual(response.data["data"], ["a", "b"])


class Commits(TransactionTestCase):
    def test_a_row(self):
        user = User.objects.create_user("bob")
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {AccessToken.for_user(user)}")
        with self.assertNumQueries(2):
            self.assertEqual(client.get("/en/api/tasks/").data, [])

    def test_no_row(self):
        self.assertFalse(User.objects.exists())
