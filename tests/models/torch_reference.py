"""DeepLab in PyTorch, to compare with: written from torchvision's ResNet, the DeepLab papers and the names of
D2ADA's checkpoints; it shares no code with the models.
"""

import torch
from torch import nn
from torch.nn import functional as F

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet101": (3, 4, 23, 3)}


def conv(inputs, outputs, size, stride=1, dilation=1):
    return nn.Conv2d(inputs, outputs, size, stride, dilation * (size // 2), dilation, bias=False)


class Basic(nn.Module):
    """torchvision has no dilated one; here both convolutions dilate."""

    expansion = 1

    def __init__(self, inputs, width, stride, dilation):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, width, 3, stride, dilation), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3, 1, dilation), nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or inputs != width:
            self.downsample = nn.Sequential(conv(inputs, width, 1, stride), nn.BatchNorm2d(width))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, inputs, width, stride, dilation):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3, stride, dilation), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = conv(width, 4 * width, 1), nn.BatchNorm2d(4 * width)
        self.downsample = None
        if stride != 1 or inputs != 4 * width:
            self.downsample = nn.Sequential(conv(inputs, 4 * width, 1, stride), nn.BatchNorm2d(4 * width))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(y)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


# By output stride and stage: stride, dilation of the first block, dilation of the others.
GEOMETRY = {
    16: ((1, 1, 1), (2, 1, 1), (2, 1, 1), (1, 1, 2)),
    8: ((1, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 4)),
}


class ResNet(nn.Module):
    def __init__(self, name, output_stride):
        super().__init__()
        block = Basic if name == "resnet18" else Bottleneck
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        inputs = 64
        for i, (stride, first, others) in enumerate(GEOMETRY[output_stride]):
            width, stage = 64 * 2**i, []
            for j in range(BLOCKS[name][i]):
                stage.append(block(inputs, width, stride if j == 0 else 1, others if j else first))
                inputs = width * block.expansion
            setattr(self, f"layer{i + 1}", nn.Sequential(*stage))
        self.features, self.low_level_features = inputs, 64 * block.expansion

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        low_level = self.layer1(x)
        return low_level, self.layer4(self.layer3(self.layer2(low_level)))


def conv_norm_relu(inputs, outputs, size, dilation=1):
    return nn.Sequential(conv(inputs, outputs, size, 1, dilation), nn.BatchNorm2d(outputs), nn.ReLU())


class AsppV2(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.convs = nn.ModuleList(nn.Sequential(conv(inputs, 256, 3, 1, rate)) for rate in (6, 12, 18, 24))

    def forward(self, x):
        return sum(branch(x) for branch in self.convs)


class HeadV2(nn.Module):
    def __init__(self, backbone, output_stride, classes):
        super().__init__()
        self.aspp, self.final = AsppV2(backbone.features), nn.Conv2d(256, classes, 1)

    def forward(self, low_level, x):
        features = self.aspp(x)
        return self.final(features), features


class AsppV3(nn.Module):
    def __init__(self, inputs, rates):
        super().__init__()
        pooling = nn.Sequential(nn.AdaptiveAvgPool2d(1), *conv_norm_relu(inputs, 256, 1))
        dilated = [conv_norm_relu(inputs, 256, 3, rate) for rate in rates]
        self.convs = nn.ModuleList([conv_norm_relu(inputs, 256, 1), *dilated, pooling])
        self.project = conv_norm_relu(5 * 256, 256, 1)

    def forward(self, x):
        branches = [branch(x) for branch in self.convs]
        branches[-1] = F.interpolate(branches[-1], x.shape[2:], mode="bilinear", align_corners=False)
        return self.project(torch.cat(branches, 1))


class HeadV3Plus(nn.Module):
    def __init__(self, backbone, output_stride, classes):
        super().__init__()
        self.project = conv_norm_relu(backbone.low_level_features, 48, 1)
        self.aspp = AsppV3(backbone.features, (6, 12, 18) if output_stride == 16 else (12, 24, 36))
        self.classifier, self.final = conv_norm_relu(304, 256, 3), nn.Conv2d(256, classes, 1)

    def forward(self, low_level, x):
        low_level = self.project(low_level)
        x = F.interpolate(self.aspp(x), low_level.shape[2:], mode="bilinear", align_corners=False)
        features = self.classifier(torch.cat([low_level, x], 1))
        return self.final(features), features


class Reference(nn.Module):
    """With the names of a D2ADA checkpoint."""

    def __init__(self, name, backbone, output_stride, classes):
        super().__init__()
        self.backbone = ResNet(backbone, output_stride)
        head = {"deeplabv2": HeadV2, "deeplabv3plus": HeadV3Plus}[name]
        self.classifier = head(self.backbone, output_stride, classes)

    def forward(self, x):
        return self.classifier(*self.backbone(x))
