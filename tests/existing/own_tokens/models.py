from django.contrib.auth.models import User
from django.db import models


class Profile(models.Model):
    user = models.OneToOneField(User, models.CASCADE, related_name="profile")
    city = models.CharField(max_length=40)


class Device(models.Model):
    user = models.ForeignKey(User, models.CASCADE)
    token = models.CharField(max_length=40, unique=True)


class Item(models.Model):
    owner = models.ForeignKey(User, models.CASCADE)
    name = models.CharField(max_length=40)
