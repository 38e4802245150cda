from django.contrib.auth.models import User
from django.db import models


class Task(models.Model):
    owner = models.ForeignKey(User, models.CASCADE)
    title = models.CharField(max_length=40)
